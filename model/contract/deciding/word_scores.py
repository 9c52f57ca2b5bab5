"""Scores of labels from the words of a sentence: what a label head knows beside the embedding.

An embedding keeps what sentences mean together and smooths over single words. Where a label hangs on one word or on
two side by side, a linear model of the words themselves sees it; the sum of both errs less than either (docs/log.md).

Source: Cheng et al. 2016, arXiv:1606.07792 (wide and deep learning).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.contract.text import GRAM_BYTES, Tokens

PAIR_ROWS: Final = 16_384
"""Rows that pairs of neighbouring tokens are hashed to: two to the fourteenth."""

_PAIR_SHIFT: Final = np.uint32(18)
_FIRST, _SECOND = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)

Bag = tuple[NDArray[np.int64], NDArray[np.float32]]
"""(m,) rows, some of them several times, and (m,) the weight of each."""


def token_bag(tokens: Tokens, n_ids: int) -> Bag:
    """A sentence as the encoder's bag sees it: 1 a token, 1 / sqrt(n) for each of a token's n grams.

    Args:
        tokens: The sentence.
        n_ids: Rows of the token table; those of grams come after them.
    """
    grams = np.frombuffer(b"".join(tokens.grams), np.int32)
    n_grams = np.array([len(packed) for packed in tokens.grams]) // GRAM_BYTES
    rows = np.concatenate([np.array(tokens.ids, np.int64), n_ids + grams.astype(np.int64)])
    weights = np.concatenate([np.ones(len(tokens)), np.repeat(1 / np.sqrt(np.maximum(1, n_grams)), n_grams)])
    return rows, weights.astype(np.float32)


def word_bag(tokens: Tokens, n_ids: int, buckets: int) -> Bag:
    """The same, and 1 for each pair of neighbouring tokens, in rows that come after those of the grams."""
    rows, weights = token_bag(tokens, n_ids)
    ids = np.array(tokens.ids, np.uint32)
    pairs = (ids[:-1] * _FIRST + ids[1:] * _SECOND) >> _PAIR_SHIFT  # modulo 2 ** 32
    all_rows = np.concatenate([rows, n_ids + buckets + 1 + pairs.astype(np.int64)])
    return all_rows, np.concatenate([weights, np.ones(len(pairs), np.float32)])


@dataclass(frozen=True, slots=True)
class WordScores:
    """Linear scores of the labels of a head, of TF-IDF bags of unit length.

    Attributes:
        n_ids, buckets: Of the text contract.
        rows: (n,) int64, ascending: those of `word_bag` that count.
        idf: (n,) float32.
        weights: (n, n_labels) float32.
    """

    n_ids: int
    buckets: int
    rows: NDArray[np.int64]
    idf: NDArray[np.float32]
    weights: NDArray[np.float32]

    def scores(self, sentences: Sequence[Tokens]) -> NDArray[np.float32]:
        """(n_sentences, n_labels) float32, 0 for a sentence that has none of the rows."""
        found = np.zeros((len(sentences), self.weights.shape[1]), np.float32)
        for number, tokens in enumerate(sentences):
            places, values = self._bag(tokens)
            if len(places):
                found[number] = values @ self.weights[places]
        return found

    def _bag(self, tokens: Tokens) -> Bag:
        """Each row that counts once, with its value."""
        rows, weights = word_bag(tokens, self.n_ids, self.buckets)
        places = np.searchsorted(self.rows, rows)
        places[places == len(self.rows)] = 0
        counts = self.rows[places] == rows if len(self.rows) else np.zeros(len(rows), np.bool_)
        once, which = np.unique(places[counts], return_inverse=True)
        values = np.bincount(which, weights[counts], len(once)) * self.idf[once]
        return once, np.asarray(values / max(float(np.linalg.norm(values)), 1e-12), np.float32)
