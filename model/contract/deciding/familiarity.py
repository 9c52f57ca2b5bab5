"""Which texts say anything to an encoder: those with a word of its training, or with enough of the grams of its words.

Every text has an embedding, and an embedding of length 1 cannot say "I know nothing of this": without this, a text in
another script would be as near to a group as one that names it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.contract.grams import hash_grams
from model.contract.normalise import CJK, SYMBOL, normalise, script_runs
from model.contract.text import TextConfig, TextContract

FEWEST_GRAMS: Final = 3
"""Grams of training that a text without a known word must have: `<hi` alone may come of "history"."""

LEAST_SHARE: Final = 0.3
"""Share of its grams that these must be: a typing error in the middle of a word leaves a third."""


class Familiarity:
    """What one encoder has learnt from.

    Args:
        contract: Of the encoder; its vocabulary are words and characters of the training sentences.
        gram_hashes: (n,) uint32, ascending, of the training sentences.
    """

    def __init__(self, contract: TextContract, gram_hashes: NDArray[np.uint32]) -> None:
        self._contract = contract
        self.gram_hashes = gram_hashes

    @classmethod
    def of(cls, contract: TextContract, sentences: Iterable[str]) -> "Familiarity":
        """That of an encoder which learns from these sentences."""
        runs = {run for sentence in sentences for run in _runs(sentence, contract.config)}
        hashes = {value for kind, run in runs for value in _grams(kind, run, contract.config)}
        return cls(contract, np.array(sorted(hashes), np.uint32))

    def knows(self, text: str) -> bool:
        """Whether the embedding of a text says more than that it is this text. Symbols say nothing."""
        runs = list(_runs(text, self._contract.config))
        if any(self._contract.has(token) for kind, run in runs for token in (run if kind == CJK else (run,))):
            return True
        grams = [value for kind, run in runs for value in _grams(kind, run, self._contract.config)]
        return self._n_known(grams) >= max(FEWEST_GRAMS, LEAST_SHARE * len(grams))

    def _n_known(self, grams: list[int]) -> int:
        hashes = np.array(grams, np.uint32)
        first, after = (np.searchsorted(self.gram_hashes, hashes, side) for side in ("left", "right"))
        return int((after > first).sum())


def _runs(text: str, config: TextConfig) -> Iterator[tuple[str, str]]:
    return (run for run in script_runs(normalise(text[: config.max_chars])) if run[0] != SYMBOL)


def _grams(kind: str, run: str, config: TextConfig) -> Iterator[int]:
    smallest, largest = config.cjk_grams if kind == CJK else config.word_grams
    for of_one_length in hash_grams([character.encode() for character in f"<{run}>"], smallest, largest, config.seed):
        yield from of_one_length
