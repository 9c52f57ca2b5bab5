"""Many different sentences made from a file of some."""

import itertools
from pathlib import Path

from model.contract.dataset import read_rows


def read_texts(path: Path) -> list[str]:
    """The sentences of a file, each once, in its order."""
    return list(dict.fromkeys(row.text for row in read_rows(path).rows))


def many_texts(texts: list[str], n: int) -> list[str]:
    """At least n different sentences: those of the file, then one of them joined to the start of another."""
    made = itertools.chain(texts, (_join(texts, step, at) for step in itertools.count(1) for at in range(len(texts))))
    return list(itertools.islice(dict.fromkeys(itertools.islice(made, 2 * n)), n))


def _join(texts: list[str], step: int, at: int) -> str:
    other = texts[(at + step) % len(texts)]
    return f"{texts[at]} {other[: 12 + len(other) // 3]}"
