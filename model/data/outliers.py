"""Sentences of no group, made from training sentences by exchanging the words that tell their group.

They look like the team's sentences and mean nothing in particular: what the encoder learns from them is that familiar
words alone are no match. Chosen by measurement among other ways to make outliers (docs/log.md).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from model.contract.text import TextContract, Tokens
from model.data.training_data import TrainingData

_MOST_OUTLIERS = 20_000
"""Made at most; each is seen several times."""

_MOST_SOURCES = 50_000
"""Training sentences that are looked at at most."""

_LEAST_SHARE, _MOST_SHARE = 0.3, 0.6
_SHRINKAGE = 2.0


def make_outliers(contract: TextContract, data: TrainingData, seed: int) -> list[Tokens]:
    """As many as there are training sentences, up to a limit; none where the settings do not ask for them."""
    config = data.config
    if not (config.outlier_exposure_weight and config.synthetic_outliers and config.objective.has_class_vectors):
        return []
    rng = np.random.default_rng((seed, 0x0D0))
    rows = np.sort(rng.permutation(len(data.train))[:_MOST_SOURCES])
    sentences = [contract.tokenise(data.train[row].text) for row in rows]
    n = min(len(rows), _MOST_OUTLIERS)
    return list(synthesise_outliers(sentences, data.train_indices[rows], n, rng))


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
    telling = _Telling(sentences, label_indices)
    for number in rng.integers(len(sentences), size=n):
        own = sentences[int(number)]
        scores = telling.scores(own.ids, label_indices[number])
        exchanged = max(1, round(rng.uniform(_LEAST_SHARE, _MOST_SHARE) * len(own)))
        ids, grams = list(own.ids), list(own.grams)
        for position in np.argsort(-scores, kind="stable")[:exchanged]:
            other = sentences[int(rng.integers(len(sentences)))]
            taken = int(rng.integers(len(other)))
            ids[position], grams[position] = other.ids[taken], other.grams[taken]
        yield Tokens(ids, grams, truncated=own.truncated)


class _Telling:
    """How surely a token tells a group: its share of the token's sentences, shrunk where these are few."""

    def __init__(self, sentences: Sequence[Tokens], label_indices: NDArray[np.int64]) -> None:
        ids = np.concatenate([np.array(tokens.ids) for tokens in sentences])
        labels = np.repeat(label_indices, [len(tokens) for tokens in sentences])
        shape = (int(ids.max()) + 1, int(label_indices.max()) + 1)
        self._counts = sparse.csr_matrix((np.ones(len(ids)), (ids, labels)), shape=shape)
        self._totals = np.asarray(self._counts.sum(axis=1)).ravel() + _SHRINKAGE

    def scores(self, ids: list[int], label: np.int64) -> NDArray[np.float64]:
        """(n_ids,) for one group."""
        return np.asarray(self._counts[ids, label].toarray()).ravel() / self._totals[ids]
