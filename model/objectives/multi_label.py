"""Several labels a sentence: a linear score a label, above 0 where it holds."""

import numpy as np
import torch
from torch import Tensor, nn

from model.config import MultiLabelLoss
from model.config.schedule import Hyperparameters, planned_values
from model.contract.deciding.head import LabelHead as StoredLabelHead
from model.data.batching import BatchPlan, length_batches
from model.data.features import FeatureTable
from model.data.training_data import TrainingData
from model.heads.label_head import LabelHead
from model.losses.binary_cross_entropy import binary_cross_entropy
from model.losses.soft_f1 import soft_f1_loss, soft_f1_weights
from model.losses.zlpr import zlpr
from model.objectives.base import EncodedBatch, EncodeTraining, LossPart, Outputs, Regulariser, TrainingObjective


class MultiLabelObjective(TrainingObjective):
    """ZLPR or binary cross-entropy over linear scores of the embedding.

    The embedding has unit length, so that its scores are multiplied by `scale` to reach both sides of 0.
    """

    _targets: Tensor
    _known: Tensor

    def __init__(self, data: TrainingData, table: FeatureTable, dim: int, regularisers: list[Regulariser]) -> None:
        super().__init__(data.config, regularisers)
        self._names = data.labels
        self._replaced: StoredLabelHead | None = None
        self._lengths = table.lengths[: len(data.train)]
        self.layer = LabelHead(len(data.labels), dim)
        targets = data.label_targets
        self.register_buffer("_targets", torch.from_numpy(targets.values), persistent=False)
        self.register_buffer("_known", torch.from_numpy(targets.known), persistent=False)

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        return length_batches(self._lengths, self.config.batch_size, rng)

    def outputs(self, batch: EncodedBatch, hyper: Hyperparameters) -> Outputs:
        scale = hyper["scale"]
        scores = scale * self.layer(batch.flat)
        rows = torch.from_numpy(batch.rows).repeat(len(batch.views)).to(scores.device)
        losses = self._losses(scores, self._targets[rows], self._known[rows])
        return Outputs([LossPart(losses)], lambda embeddings: scale * self.layer(embeddings))

    def label_head(self) -> StoredLabelHead:
        """As stored, the logistic function of a score is its confidence; ZLPR's is that of twice the score."""
        if self._replaced is not None:
            return self._replaced
        doubled = 2 if self.config.multi_label_loss is MultiLabelLoss.ZLPR else 1
        factor = doubled * planned_values("scale", self.config)[-1]
        weights = (factor * self.layer.weights()).cpu().numpy().astype(np.float16).astype(np.float32)
        bias = (factor * self.layer.bias()).cpu().numpy().astype(np.float16).astype(np.float32)
        return StoredLabelHead(tuple(self._names), weights, bias)

    def set_label_head(self, head: StoredLabelHead) -> None:
        """Hand over this one from now on, in place of what was trained."""
        self._replaced = head

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.layer.parameters())

    def constrainable(self) -> nn.Module:
        return self.layer.linear

    def _losses(self, scores: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        kind = self.config.multi_label_loss
        if kind is MultiLabelLoss.ZLPR:
            return zlpr(scores, targets, known)
        if kind is MultiLabelLoss.BCE:
            return binary_cross_entropy(scores, targets, known, positive_weight=self.config.positive_weight)
        probabilities = torch.sigmoid(scores)
        if kind is MultiLabelLoss.SOFT_F1:
            return soft_f1_loss(probabilities, targets, known)[None]
        return binary_cross_entropy(scores, targets, known, weights=soft_f1_weights(probabilities, targets, known))
