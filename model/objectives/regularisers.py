"""Terms beside the raw loss: R-Drop with and without labels, center loss, outlier exposure."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import Objective, RDropOn
from model.data.training_data import TrainingData
from model.losses.center_loss import CenterLoss
from model.losses.outlier_exposure import no_match_loss, outlier_exposure
from model.losses.r_drop import embedding_consistency, multi_label_r_drop, r_drop
from model.objectives.base import EncodedBatch, Outputs, Regulariser

_OUTLIER_DIVISOR = 4
_SYNTHETIC_SHARE = 0.25


class Divergence:
    """How far two passes of the same sentences are apart."""

    def __init__(self, on: RDropOn, *, multi_label: bool) -> None:
        self._on = on
        self._of_scores = multi_label_r_drop if multi_label else r_drop

    def __call__(self, first: Tensor, second: Tensor, outputs: Outputs) -> Tensor:
        """Scalar, mean over sentences: half of R-Drop's term, or 1 - cosine of the embeddings.

        The raw loss is the mean of both passes, half of the paper's sum. With half of its divergence too, the weight
        is the paper's alpha.
        """
        if self._on is RDropOn.EMBEDDINGS or outputs.score is None:
            return embedding_consistency(first, second).mean()
        return self._of_scores(outputs.score(first), outputs.score(second)).mean() / 2


class RDrop(Regulariser):
    """Two passes of each sentence of the batch agree."""

    name = "rdrop_kl"
    weight = "rdrop_alpha"
    views = 2

    def __init__(self, divergence: Divergence) -> None:
        super().__init__()
        self._divergence = divergence

    def loss(self, batch: EncodedBatch, outputs: Outputs, extra: Tensor) -> Tensor:
        return self._divergence(batch.views[0], batch.views[1], outputs)


class UnlabelledRDrop(Regulariser):
    """Two passes of sentences without groups agree; a batch brings as many as it has itself."""

    name = "rdrop_unlabelled_kl"
    weight = "rdrop_unlabelled_weight"

    def __init__(self, rows: NDArray[np.int64], divergence: Divergence) -> None:
        super().__init__()
        self._pool = rows
        self._divergence = divergence

    def extra_rows(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.tile(rng.choice(self._pool, min(n, len(self._pool)), replace=False), 2)

    def loss(self, batch: EncodedBatch, outputs: Outputs, extra: Tensor) -> Tensor:
        first, second = extra.chunk(2)
        return self._divergence(first, second, outputs)


class Centers(Regulariser):
    """Sentences are drawn to a learned centre of their group."""

    name = "center_loss"
    weight = "center_loss_weight"
    _label_indices: Tensor

    def __init__(self, data: TrainingData, dim: int) -> None:
        super().__init__()
        self._loss = CenterLoss(len(data.labels), dim)
        self.register_buffer("_label_indices", torch.from_numpy(data.train_indices), persistent=False)

    def loss(self, batch: EncodedBatch, outputs: Outputs, extra: Tensor) -> Tensor:
        losses: Tensor = self._loss(batch.flat, self._label_indices[batch.rows].repeat(len(batch.views)))
        return losses.mean()


class OutlierExposure(Regulariser):
    """Sentences of no group are near none; a batch brings a quarter as many as it has itself.

    Args:
        given: Rows of real ones.
        synthetic: Rows of made ones; where there are real ones too, one in four is drawn from here.
    """

    name = "outlier_loss"
    weight = "outlier_exposure_weight"

    def __init__(self, given: NDArray[np.int64], synthetic: NDArray[np.int64]) -> None:
        super().__init__()
        self._given = given
        self._synthetic = synthetic

    def extra_rows(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        n_outliers = max(2, n // _OUTLIER_DIVISOR)
        if not len(self._given):
            return rng.choice(self._synthetic, n_outliers)
        real = rng.choice(self._given, n_outliers)
        if not len(self._synthetic):
            return real
        made = rng.choice(self._synthetic, n_outliers)
        return np.where(rng.random(n_outliers) < _SYNTHETIC_SHARE, made, real)

    def loss(self, batch: EncodedBatch, outputs: Outputs, extra: Tensor) -> Tensor:
        assert outputs.score is not None
        logits = outputs.score(extra)
        if outputs.no_match is None:
            return outlier_exposure(logits).mean()
        return no_match_loss(logits, outputs.no_match).mean()


def make_regularisers(data: TrainingData, dim: int, synthetic: NDArray[np.int64]) -> list[Regulariser]:
    """Those whose weight is not 0, now or by a schedule; `synthetic` are the rows of made outliers."""
    config = data.config
    divergence = Divergence(config.rdrop_on, multi_label=config.objective is Objective.MULTI_LABEL)
    terms: list[Regulariser] = []
    if config.uses("rdrop_alpha"):
        terms.append(RDrop(divergence))
    if config.uses("rdrop_unlabelled_weight"):
        terms.append(UnlabelledRDrop(data.unlabelled_rows, divergence))
    if config.uses("center_loss_weight") and config.objective.has_class_vectors:
        terms.append(Centers(data, dim))
    if config.exposes_outliers:
        terms.append(OutlierExposure(data.outlier_rows, synthetic))
    return terms
