"""Real sentences for the index's benchmarks: all public data sets, then seeded variations of them up to a size."""

import csv
import random
from pathlib import Path


def real_texts(folder: Path, n: int, seed: int = 0) -> list[str]:
    """n different sentences.

    Args:
        folder: Of the public data sets.
        n: Wanted; what the sets have first, in a random order, then variations.
        seed: Of the order and of the variations.
    """
    rng = random.Random(seed)
    texts = sorted({text for path in sorted(folder.glob("*/*.tsv")) for text in _column(path)})
    rng.shuffle(texts)
    found = dict.fromkeys(texts[:n])
    while len(found) < n:
        found[_vary(rng.choice(texts), rng.choice(texts), rng)] = None
    return list(found)


def _column(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [text.strip() for row in rows if (text := row.get("text"))]


def _vary(text: str, other: str, rng: random.Random) -> str:
    """Words (or characters, where there are no spaces) dropped, exchanged and taken over from another sentence."""
    glue = " " if " " in text else ""
    parts = text.split() if glue else list(text)
    parts = [part for part in parts if rng.random() > 0.15] or parts
    if len(parts) > 1:
        at = rng.randrange(len(parts) - 1)
        parts[at], parts[at + 1] = parts[at + 1], parts[at]
    taken = other.split() if " " in other else list(other)
    start = rng.randrange(len(taken)) if taken else 0
    parts[rng.randrange(len(parts) + 1) : 0] = taken[start : start + 3]
    return glue.join(parts) or other
