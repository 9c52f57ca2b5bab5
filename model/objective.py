"""The objectives behind one shape: how an epoch is cut into batches, and the loss of one."""

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from model.batching import BatchPlan, draw_pairs, gather_neighbours, length_batches, pair_batches
from model.config import Config, Objective
from model.contract.bundle import Head
from model.data import TrainingData
from model.features import FeatureTable
from model.losses.am_softmax import AMSoftmaxLoss
from model.losses.in_batch_margin_softmax import InBatchMarginSoftmaxLoss


class EncodeTraining(Protocol):
    """Embeds all training sentences with the encoder as it is now."""

    def __call__(self) -> NDArray[np.float32]: ...


class TrainingObjective(nn.Module, ABC):
    """What the loop needs to know of an objective; its parameters are trained with the encoder's."""

    @abstractmethod
    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        """Cut the coming epoch into batches."""

    @abstractmethod
    def loss(self, embeddings: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Loss of one batch: (B, dim) embeddings of these training rows."""

    def head(self) -> Head | None:
        """The class vectors as they are now, in the precision that a bundle keeps; None without any."""
        return None


class HeadObjective(TrainingObjective):
    """AM-Softmax over one class vector a group."""

    def __init__(self, data: TrainingData, table: FeatureTable, dim: int, config: Config) -> None:
        super().__init__()
        self.loss_function = AMSoftmaxLoss(len(data.labels), dim, margin=config.margin, scale=config.scale)
        self._labels = data.labels
        self._indices = torch.from_numpy(data.train_indices)
        self._lengths = table.lengths
        self._batch_size = config.batch_size

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        return length_batches(self._lengths, self._batch_size, rng)

    def loss(self, embeddings: Tensor, rows: NDArray[np.int64]) -> Tensor:
        loss: Tensor = self.loss_function(embeddings, self._indices[rows])
        return loss

    def head(self) -> Head:
        weights = normalize(self.loss_function.weight.detach(), dim=1).numpy()
        return Head(tuple(self._labels), weights.astype(np.float16).astype(np.float32))


class InBatchObjective(TrainingObjective):
    """Margin softmax over pairs in the batch."""

    def __init__(self, data: TrainingData, config: Config) -> None:
        super().__init__()
        self._loss = InBatchMarginSoftmaxLoss(temperature=config.temperature, margin=config.pair_margin)
        self._indices = data.train_indices
        self._batch_size = config.batch_size
        self._hard = config.hard_batches

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        pairs = draw_pairs(self._indices, rng)
        if self._hard:
            pairs = gather_neighbours(pairs, encode_training(), rng)
        return pair_batches(pairs, self._batch_size)

    def loss(self, embeddings: Tensor, rows: NDArray[np.int64]) -> Tensor:
        half = len(rows) // 2
        groups = torch.from_numpy(self._indices[rows[:half]])
        loss: Tensor = self._loss(embeddings[:half], embeddings[half:], groups)
        return loss


class JointObjective(HeadObjective):
    """AM-Softmax and the in-batch loss over the same pairs: for groups too small for class vectors alone."""

    def __init__(self, data: TrainingData, table: FeatureTable, dim: int, config: Config) -> None:
        super().__init__(data, table, dim, config)
        self._pairs = InBatchObjective(data, config)
        self._pair_weight = config.pair_weight

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        return self._pairs.plan(rng, encode_training)

    def loss(self, embeddings: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return super().loss(embeddings, rows) + self._pair_weight * self._pairs.loss(embeddings, rows)


def make_objective(data: TrainingData, table: FeatureTable, dim: int) -> TrainingObjective:
    """The objective that the data calls for."""
    config = data.config
    if config.objective is Objective.HEAD:
        return HeadObjective(data, table, dim, config)
    if config.objective is Objective.JOINT:
        return JointObjective(data, table, dim, config)
    return InBatchObjective(data, config)
