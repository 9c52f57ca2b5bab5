"""Sentences of no group, made from training sentences by exchanging the words that tell their group.

They look like the team's sentences and mean nothing in particular: what the encoder learns from them is that familiar
words alone are no match. Beside real ones they were the best of several ways to make outliers (docs/log.md).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from model.contract.normalise import CJK, normalise, script_runs
from model.data.training_data import TrainingData

_MOST_OUTLIERS = 20_000
"""Made at most; each is seen several times."""

_EXCHANGED: Final = (0.3, 0.6)
"""Least and largest share of a sentence's words that are exchanged, for outliers to learn from."""

_CJK_WORD: Final = 2
"""Characters of a word where there are no spaces: most Chinese words have two."""

_SHRINKAGE = 2


def make_outliers(data: TrainingData, seed: int) -> list[str]:
    """As many as there are training sentences, up to a limit; none where the settings do not ask for them."""
    config = data.config
    if not (config.exposes_outliers and config.synthetic_outliers):
        return []
    texts, groups = [row.text for row in data.train], [row.group or "" for row in data.train]
    rng = np.random.default_rng((seed, 0x0D0))
    return list(synthesise_outliers(texts, groups, min(len(texts), _MOST_OUTLIERS), rng))


def synthesise_outliers(
    sentences: Sequence[str],
    groups: Sequence[str],
    n: int,
    rng: np.random.Generator,
    exchanged: tuple[float, float] = _EXCHANGED,
) -> Iterator[str]:
    """Make n sentences: of a training sentence, the most telling words give way to random words of others.

    A word tells its group by its share of the word's occurrences, shrunk where these are few. Where there are no
    spaces, two characters are a word.

    Args:
        sentences: The training sentences.
        groups: The group of each.
        n: How many.
        rng: Draws sentences, shares and words.
        exchanged: Least and largest share of a sentence's words that give way; at least one does.
    """
    split = [_words(sentence) for sentence in sentences]
    totals = Counter(word for words in split for word in words)
    in_group = Counter((word, group) for words, group in zip(split, groups, strict=True) for word in words)
    for number in rng.integers(len(split), size=n):
        words, group = list(split[number]), groups[number]
        telling = np.array([in_group[word, group] / (totals[word] + _SHRINKAGE) for word in words])
        n_exchanged = max(1, round(rng.uniform(*exchanged) * len(words)))
        for position in np.argsort(-telling, kind="stable")[:n_exchanged]:
            other = split[rng.integers(len(split))]
            words[position] = other[rng.integers(len(other))]
        yield _join(words)


def _words(sentence: str) -> list[str]:
    words: list[str] = []
    for kind, run in script_runs(normalise(sentence)):
        words += [run[at : at + _CJK_WORD] for at in range(0, len(run), _CJK_WORD)] if kind == CJK else [run]
    return words or [sentence]


def _join(words: Sequence[str]) -> str:
    """Spaces between words, none between those of a script without them."""
    joined = words[0]
    for before, word in zip(words, words[1:], strict=False):
        joined += word if _is_cjk(before) and _is_cjk(word) else f" {word}"
    return joined


def _is_cjk(word: str) -> bool:
    return all(kind == CJK for kind, _ in script_runs(word))
