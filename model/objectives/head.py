"""Class vectors: a margin softmax over one class vector a group."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.config import ClassWeight, Config, LogitAdjustment, Loss, MarginLoss, OutlierLoss, Sampler, ScaleMode
from model.config.schedule import MARGIN_STRENGTH, Hyperparameters, planned_values
from model.contract.deciding.head import Head
from model.data.batching import BatchPlan, cap_groups, class_balanced_batches, length_batches, pk_batches
from model.data.features import FeatureTable
from model.data.training_data import TrainingData
from model.heads.class_head import ClassHead
from model.heads.sampled_head import SampledHead
from model.heads.scored import Scored
from model.losses.a_softmax import a_softmax_logits
from model.losses.adacos import AdaCosScale
from model.losses.am_softmax import am_softmax_logits
from model.losses.arcface import arcface_logits
from model.losses.class_weights import balanced_weights, effective_number_weights
from model.losses.cross_entropy import cross_entropy
from model.losses.false_negatives import filter_false_negatives
from model.losses.focal import focal_loss
from model.losses.logit_adjustment import adjust_in_loss, log_prior
from model.losses.normalised_softmax import normalised_softmax_logits
from model.losses.simpler_a_softmax import simpler_a_softmax_logits
from model.losses.target_margin import MarginLogits
from model.losses.truncation import hard_truncated_cross_entropy, softened_truncated_cross_entropy
from model.objectives.base import EncodedBatch, EncodeTraining, LossPart, Outputs, Regulariser, TrainingObjective

_MARGIN_LOGITS: dict[MarginLoss, MarginLogits] = {
    MarginLoss.AM_SOFTMAX: am_softmax_logits,
    MarginLoss.ARCFACE: arcface_logits,
    MarginLoss.A_SOFTMAX: a_softmax_logits,
    MarginLoss.SIMPLER_A_SOFTMAX: simpler_a_softmax_logits,
    MarginLoss.NORMALISED_SOFTMAX: normalised_softmax_logits,
}


class HeadObjective(TrainingObjective):
    """A margin softmax over one class vector a group.

    Args:
        data: The training rows.
        table: Their features.
        dim: Width of the embeddings.
        regularisers: Terms beside it.
        seed: Of the sampled negatives.
    """

    _label_indices: Tensor
    _class_weights: Tensor | None
    _log_prior: Tensor | None
    _assigned: Tensor | None

    def __init__(
        self, data: TrainingData, table: FeatureTable, dim: int, regularisers: list[Regulariser], seed: int
    ) -> None:
        super().__init__(data.config, regularisers)
        config = data.config
        self._labels = data.labels
        self._rows = data.train_indices
        self._lengths = table.lengths[: len(data.train)]
        counts = np.bincount(data.train_indices, minlength=len(data.labels))
        self.layer: ClassHead | SampledHead = (
            SampledHead(len(data.labels), dim, n_negatives=config.sampled_negatives, seed=seed)
            if config.sampled_negatives
            else ClassHead(len(data.labels), dim, sub_centers=config.sub_centers)
        )
        self.adacos = AdaCosScale(len(data.labels)) if config.scale_mode is ScaleMode.ADACOS else None
        self.register_buffer("_label_indices", torch.from_numpy(data.train_indices), persistent=False)
        self.register_buffer("_class_weights", _class_weights(counts, config), persistent=False)
        adjust = config.logit_adjustment is LogitAdjustment.LOSS
        prior = log_prior(_seen(counts, config), tau=config.logit_adjustment_tau) if adjust else None
        self._prior = _left_prior(counts, config)
        self._has_no_match = config.exposes_outliers and config.outlier_loss is OutlierLoss.NO_MATCH
        self.register_buffer("_log_prior", prior, persistent=False)
        several = config.sub_centers > 1
        self.register_buffer("_assigned", torch.zeros(len(data.labels), config.sub_centers) if several else None)

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        config = self.config
        if config.sampler is Sampler.CLASS_BALANCED:
            return class_balanced_batches(self._rows, self._lengths, config.batch_size, rng)
        if config.sampler is Sampler.PK:
            n_groups = max(2, config.batch_size // config.sentences_per_group)
            return pk_batches(self._rows, n_groups, config.sentences_per_group, rng)
        kept = cap_groups(self._rows, config.max_per_group, rng)
        return [kept[batch] for batch in length_batches(self._lengths[kept], config.batch_size, rng)]

    def outputs(self, batch: EncodedBatch, hyper: Hyperparameters) -> Outputs:
        labels = self._label_indices[batch.rows].repeat(len(batch.views))
        scored = self.layer(batch.flat, labels)
        scale = self._scale(scored, hyper)
        logits = self._logits(scored, scale, hyper)
        losses = self._losses(logits, scored.targets, hyper)
        if self._class_weights is not None:
            losses = losses * self._class_weights[labels]
        self._count_assignments(batch.flat, labels)
        right = (scored.cosines.detach().argmax(dim=1) == scored.targets).float().mean()
        scalars = {"train_accuracy": right} | ({"scale": scale.detach()} if isinstance(scale, Tensor) else {})
        no_match = scale * self.config.no_match_cosine if self._has_no_match else None
        return Outputs([LossPart(losses)], lambda vectors: scale * self._plain(vectors, scored), no_match, scalars)

    def head(self) -> Head:
        layer = self.layer
        vectors = layer.class_vectors(self._assigned) if isinstance(layer, ClassHead) else layer.class_vectors()
        weights: NDArray[np.float32] = vectors.cpu().numpy()
        return Head(tuple(self._labels), weights.astype(np.float16).astype(np.float32), self._last_scale(), self._prior)

    def sparse_parameters(self) -> list[nn.Parameter]:
        return list(self.layer.parameters()) if isinstance(self.layer, SampledHead) else []

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.layer.parameters())

    def constrainable(self) -> nn.Module:
        return self.layer

    def _last_scale(self) -> float:
        if self.adacos is not None:
            return float(self.adacos.value())
        return planned_values("scale", self.config)[-1]

    def _scale(self, scored: Scored, hyper: Hyperparameters) -> float | Tensor:
        if self.adacos is None:
            return hyper["scale"]
        if self.training:
            self.adacos.update(scored.cosines.detach(), scored.targets)
        return self.adacos.value()

    def _logits(self, scored: Scored, scale: float | Tensor, hyper: Hyperparameters) -> Tensor:
        margin_logits = _MARGIN_LOGITS[self.config.margin_loss]
        logits = margin_logits(
            scored.cosines, scored.targets, margin=hyper["margin"], scale=scale, strength=hyper[MARGIN_STRENGTH]
        )
        if self.config.false_negative_threshold:
            threshold = self.config.false_negative_threshold
            logits = filter_false_negatives(logits, scored.cosines, scored.targets, threshold)
        if self._log_prior is not None:
            prior = self._log_prior if scored.columns is None else self._log_prior[scored.columns]
            logits = adjust_in_loss(logits, prior)
        if not self._has_no_match:
            return logits
        no_match = logits.new_full((len(logits), 1), self.config.no_match_cosine) * scale
        return torch.cat([logits, no_match], dim=1)

    def _losses(self, logits: Tensor, targets: Tensor, hyper: Hyperparameters) -> Tensor:
        if self.config.loss is Loss.FOCAL:
            return focal_loss(logits, targets, gamma=self.config.focal_gamma)
        if self.config.loss is Loss.HARD_TRUNCATION:
            return hard_truncated_cross_entropy(logits, targets)
        if self.config.loss is Loss.SOFT_TRUNCATION:
            return softened_truncated_cross_entropy(logits, targets, sharpness=self.config.truncation_sharpness)
        return cross_entropy(logits, targets, label_smoothing=hyper["label_smoothing"])

    def _plain(self, embeddings: Tensor, scored: Scored) -> Tensor:
        if isinstance(self.layer, SampledHead) and scored.columns is not None:
            return self.layer.column_cosines(embeddings, scored.columns)
        return self.layer.cosines(embeddings)

    @torch.no_grad()
    def _count_assignments(self, embeddings: Tensor, labels: Tensor) -> None:
        """A fading count of which sub-centre each sentence is nearest to: the dominant one is exported."""
        if isinstance(self.layer, ClassHead) and self._assigned is not None:
            self._assigned.mul_(0.999).add_(self.layer.count_assignments(embeddings, labels))


def _class_weights(counts: NDArray[np.int64], config: Config) -> Tensor | None:
    if config.class_weight is ClassWeight.BALANCED:
        return balanced_weights(counts)
    if config.class_weight is ClassWeight.EFFECTIVE_NUMBER:
        return effective_number_weights(counts, config.class_weight_beta)
    return None


def _seen(counts: NDArray[np.int64], config: Config) -> NDArray[np.int64]:
    """How often an epoch shows each group: what a prior has to be taken from."""
    return np.minimum(counts, config.max_per_group) if config.max_per_group else counts


def _left_prior(counts: NDArray[np.int64], config: Config) -> NDArray[np.float32] | None:
    """The shares of the groups to which the learnt scores lean; None where training evened them out."""
    if config.sampler is not Sampler.UNIFORM or config.class_weight is ClassWeight.BALANCED:
        return None
    shares = _seen(counts, config) / _seen(counts, config).sum()
    if config.logit_adjustment is LogitAdjustment.LOSS:
        shares = shares ** max(0.0, 1 - config.logit_adjustment_tau)
    return None if np.ptp(shares) == 0 else np.asarray(shares / shares.sum(), np.float32)
