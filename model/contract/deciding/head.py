"""What a trainer learned beside the encoder: class vectors of groups, or a weight vector and a bias for each label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.contract.deciding.word_scores import WordScores
from model.contract.text import Tokens

_BLOCK_FLOATS: Final = 16_000_000
"""Cosines held at once (64 MB)."""


@dataclass(frozen=True, slots=True)
class Head:
    """The class vectors of the groups that the encoder was trained on.

    Attributes:
        labels: Group ids, one a row.
        weights: (n_labels, dim) float32, unit rows.
        scale: s, by which training multiplied the cosines to get logits; None where that means nothing.
        prior: (n_labels,) float32, how often training showed each group, as shares above 0, where its loss let the
            scores lean to the frequent ones; None where they do not (logit adjustment in the loss, balanced batches).
    """

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    scale: float | None = None
    prior: NDArray[np.float32] | None = None

    def cosines(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, dim) embeddings to (n, n_labels) cosines."""
        return embeddings @ self.weights.T

    def cosines_of_each(self, embeddings: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """The rows of `cosines`, (n_labels,) each: not all at once, as that is much for many sentences and labels."""
        step = max(1, _BLOCK_FLOATS // max(1, len(self.labels)))
        for start in range(0, len(embeddings), step):
            yield from self.cosines(embeddings[start : start + step])

    def leans(self) -> NDArray[np.float32] | None:
        """How far the training prior moved each cosine, (n_labels,) in cosine units; 0 for a share that is the mean.

        A softmax trained on scale * cosine learns log p(x | y) + log p(y) up to a constant, so that log p(y) / scale is
        in the cosine.

        Source: Menon et al. 2021, arXiv:2007.07314.
        """
        if self.prior is None or self.scale is None or not self.labels:
            return None
        return np.asarray(np.log(self.prior / self.prior.mean()) / self.scale, np.float32)

    def keep(self, rows: Sequence[int]) -> "Head":
        """The head of some of its labels alone."""
        prior = None if self.prior is None else self.prior[list(rows)]
        labels = tuple(self.labels[row] for row in rows)
        return replace(self, labels=labels, weights=self.weights[list(rows)], prior=prior)


@dataclass(frozen=True, slots=True)
class LabelHead:
    """Linear scores of labels of which several may apply.

    Attributes:
        labels: One a row.
        weights: (n_labels, dim) float32; of a ZLPR training twice what it learned, whose probability is sigmoid(2 s).
        bias: (n_labels,) float32, twice as well.
        words: Scores that are added, of the words themselves; None where the embedding says all.
    """

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    words: WordScores | None = None

    def scores(self, embeddings: NDArray[np.float32], sentences: Sequence[Tokens] = ()) -> NDArray[np.float32]:
        """(n, n_labels) float32, above 0 where a label rather applies than not; arguments as of `confidences`."""
        scores = np.asarray(embeddings @ self.weights.T + self.bias, np.float32)
        return scores if self.words is None else scores + self.words.scores(sentences)

    def confidences(self, embeddings: NDArray[np.float32], sentences: Sequence[Tokens] = ()) -> NDArray[np.float32]:
        """The probability that each label applies.

        Args:
            embeddings: (n, dim).
            sentences: The same, which only `words` needs.

        Returns:
            (n, n_labels) float32.
        """
        scores = self.scores(embeddings, sentences)
        return np.asarray(0.5 * (1 + np.tanh(scores / 2)), np.float32)  # the sigmoid, which so cannot overflow
