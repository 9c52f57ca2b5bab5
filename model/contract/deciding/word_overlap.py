"""How much of their words two texts share, a rare word counting more: what an embedding does not say of new subjects.

Training draws apart what its own groups tell apart and folds everything else together, so that sentences of a group
that came later lie near the wrong ones. The words that they share know nothing of that training (docs/log.md).

Source: Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval", for the weights.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import BundleDamagedError
from model.contract.normalise import cut_words, normalise
from model.contract.text import TextConfig, TextContract

_CHARS_A_WORD: Final = 8
"""Looked at for each word that counts: decisions look at eleven texts, all of which may be long."""


class WordOverlap:
    """Cosines of bags of words, each word times its inverse document frequency among the training sentences.

    Words are what the text contract cuts a text into: words, symbols, and single CJK characters, as many as the encoder
    reads. One that the vocabulary does not have weighs as much as the rarest could.

    Args:
        contract: Of the encoder.
        frequencies: (1 + vocabulary,) uint32: how many training sentences there were, then how many of them hold each
            token of the vocabulary.

    Raises:
        BundleDamagedError: Not as many frequencies as there are tokens, or some that no sentences can have.
    """

    def __init__(self, contract: TextContract, frequencies: NDArray[np.uint32]) -> None:
        if frequencies.shape != (1 + len(contract.vocabulary),):
            raise BundleDamagedError(
                f"{frequencies.size} word frequencies do not fit a vocabulary of {len(contract.vocabulary)}"
            )
        if (frequencies > frequencies[0]).any():
            raise BundleDamagedError(f"a word stands in more than all {frequencies[0]} sentences")
        self._config = contract.config
        self.frequencies = frequencies
        n_sentences = int(frequencies[0])
        self._unknown = math.log(1 + n_sentences) + 1
        weights = (math.log((1 + n_sentences) / (1 + count)) + 1 for count in frequencies[1:].tolist())
        self._weights = dict(zip(contract.vocabulary, weights, strict=True))

    @classmethod
    def of(cls, contract: TextContract, sentences: Iterable[str]) -> "WordOverlap":
        """That of an encoder which learns from these sentences."""
        holding: Counter[str] = Counter()
        n_sentences = 0
        for n_sentences, sentence in enumerate(sentences, 1):  # noqa: B007 - the last is their number
            holding.update(set(_words(sentence, contract.config)))
        return cls(contract, np.array([n_sentences, *(holding[token] for token in contract.vocabulary)], np.uint32))

    def cosines(self, text: str, others: Sequence[str]) -> list[float]:
        """Of a text and each of some others, in [0, 1]; 0 where either has no words."""
        bag = self._bag(text)
        return [_dot(bag, self._bag(other)) for other in others]

    def _bag(self, text: str) -> dict[str, float]:
        """The weight of each word, at unit length."""
        weights, unknown = self._weights, self._unknown
        bag: dict[str, float] = {}
        for word in _words(text, self._config):
            bag[word] = bag.get(word, 0.0) + weights.get(word, unknown)
        length = math.sqrt(sum(value * value for value in bag.values()))
        return {word: value / length for word, value in bag.items()}


def _words(text: str, config: TextConfig) -> list[str]:
    """Those that the encoder reads, of a text whose words are not longer than most."""
    most_chars = min(config.max_chars, _CHARS_A_WORD * config.max_tokens)
    return cut_words(normalise(text[:most_chars]))[: config.max_tokens]


def _dot(one: dict[str, float], other: dict[str, float]) -> float:
    return min(1.0, sum(value * other[word] for word, value in one.items() if word in other))
