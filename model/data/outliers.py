"""Sentences of no group, made from training sentences by exchanging the words that tell their group.

They look like the team's sentences and mean nothing in particular: what the encoder learns from them is that familiar
words alone are no match. Chosen by measurement among other ways to make outliers (docs/log.md).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from model.contract.text import Tokens

MOST_OUTLIERS = 20_000
"""Made at most; each is seen several times."""

MOST_SOURCES = 50_000
"""Training sentences that are looked at at most."""

_LEAST_SHARE, _MOST_SHARE = 0.3, 0.6
_SHRINKAGE = 2.0


def synthesise_outliers(
    sentences: Sequence[Tokens], label_indices: NDArray[np.int64], n: int, rng: np.random.Generator
) -> Iterator[Tokens]:
    """Make n sentences: of a training sentence, the most telling tokens give way to random tokens of others.

    Args:
        sentences: The training sentences.
        label_indices: (n_sentences,) the group of each.
        n: How many.
        rng: Draws sentences, shares and tokens.
    """
    telling = _telling(sentences, label_indices)
    for number in rng.integers(len(sentences), size=n):
        own = sentences[int(number)]
        scores = telling[own.ids, label_indices[number]]
        exchanged = max(1, round(rng.uniform(_LEAST_SHARE, _MOST_SHARE) * len(own)))
        ids, grams = list(own.ids), list(own.grams)
        for position in np.argsort(-scores, kind="stable")[:exchanged]:
            other = sentences[int(rng.integers(len(sentences)))]
            taken = int(rng.integers(len(other)))
            ids[position], grams[position] = other.ids[taken], other.grams[taken]
        yield Tokens(ids, grams, truncated=own.truncated)


class _Telling:
    """How surely a token tells a group: its share of the token's sentences, shrunk where these are few."""

    def __init__(self, counts: sparse.csr_matrix) -> None:
        self._counts = counts
        self._totals = np.asarray(counts.sum(axis=1)).ravel() + _SHRINKAGE

    def __getitem__(self, key: tuple[list[int], np.int64]) -> NDArray[np.float64]:
        ids, label = key
        return np.asarray(self._counts[ids, label].toarray()).ravel() / self._totals[ids]


def _telling(sentences: Sequence[Tokens], label_indices: NDArray[np.int64]) -> _Telling:
    ids = np.concatenate([np.array(tokens.ids) for tokens in sentences])
    labels = np.repeat(label_indices, [len(tokens) for tokens in sentences])
    shape = (int(ids.max()) + 1, int(label_indices.max()) + 1)
    counts = sparse.csr_matrix((np.ones(len(ids)), (ids, labels)), shape=shape)
    return _Telling(counts)
