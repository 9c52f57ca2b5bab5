"""Pairs in the batch: alone, beside class vectors, or made by dropout from sentences without groups."""

import numpy as np
import torch
from torch import Tensor

from model.config.schedule import Hyperparameters
from model.contract.dataset import text_key
from model.data.batching import BatchPlan, cap_groups, draw_pairs, gather_neighbours, length_batches, pair_batches
from model.data.features import FeatureTable
from model.data.training_data import TrainingData
from model.losses.in_batch_margin_softmax import in_batch_margin_softmax
from model.losses.sim_cse import sim_cse
from model.objectives.base import EncodedBatch, EncodeTraining, LossPart, Outputs, Regulariser, TrainingObjective
from model.objectives.head import HeadObjective


class PairPlanner:
    """Cuts an epoch into batches of pairs: the first sentences of all pairs, then the second ones.

    Args:
        data: The training rows.
        alone: Whether a group of one is visited too, its sentence paired with itself under another dropout.
    """

    def __init__(self, data: TrainingData, *, alone: bool = False) -> None:
        self._indices = data.train_indices
        self._config = data.config
        self._alone = alone

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        """Pairs of the coming epoch, near ones together if hard batches are set."""
        kept = cap_groups(self._indices, self._config.max_per_group, rng)
        pairs = kept[draw_pairs(self._indices[kept], rng, alone=self._alone)]
        if self._config.hard_batches:
            pairs = gather_neighbours(pairs, encode_training(), rng)
        return pair_batches(pairs, self._config.batch_size)


def pair_losses(views: Tensor, groups: Tensor, hyper: Hyperparameters) -> Tensor:
    """(n_views, B, dim) of paired sentences to the (n_views * B / 2,) losses of the pairs."""
    half = views.shape[1] // 2
    return torch.cat(
        [
            in_batch_margin_softmax(
                view[:half],
                view[half:],
                groups[:half],
                temperature=hyper["temperature"],
                margin=hyper["pair_margin"],
            )
            for view in views
        ]
    )


class InBatchObjective(TrainingObjective):
    """Margin softmax over pairs in the batch."""

    _label_indices: Tensor

    def __init__(self, data: TrainingData, regularisers: list[Regulariser]) -> None:
        super().__init__(data.config, regularisers)
        self._planner = PairPlanner(data)
        self.register_buffer("_label_indices", torch.from_numpy(data.train_indices), persistent=False)

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        return self._planner.plan(rng, encode_training)

    def outputs(self, batch: EncodedBatch, hyper: Hyperparameters) -> Outputs:
        return Outputs([LossPart(pair_losses(batch.views, self._label_indices[batch.rows], hyper))])


class JointObjective(HeadObjective):
    """Class vectors and pairs over the same batches: for groups too small for class vectors alone."""

    def __init__(
        self, data: TrainingData, table: FeatureTable, dim: int, regularisers: list[Regulariser], seed: int
    ) -> None:
        super().__init__(data, table, dim, regularisers, seed)
        # a group that no batch shows is every other's negative, and its class vector is driven away from all sentences
        self._planner = PairPlanner(data, alone=True)

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        return self._planner.plan(rng, encode_training)

    def outputs(self, batch: EncodedBatch, hyper: Hyperparameters) -> Outputs:
        of_head = super().outputs(batch, hyper)
        losses = pair_losses(batch.views, self._label_indices[batch.rows], hyper)
        pairs = LossPart(losses, hyper["pair_weight"])
        return Outputs(
            [*of_head.parts, pairs],
            of_head.score,
            of_head.no_match,
            of_head.scalars | {"pair_loss": losses.detach().mean()},
        )


class SimCSEObjective(TrainingObjective):
    """A sentence against itself under another dropout, all other sentences of the batch being negatives."""

    views = 2
    _text_ids: Tensor

    def __init__(self, data: TrainingData, table: FeatureTable, regularisers: list[Regulariser]) -> None:
        super().__init__(data.config, regularisers)
        self._lengths = table.lengths[: len(data.train)]
        _, ids = np.unique([text_key(row.text) for row in data.train], return_inverse=True)
        self.register_buffer("_text_ids", torch.from_numpy(ids.astype(np.int64)), persistent=False)

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        batches = length_batches(self._lengths, self.config.batch_size, rng)
        return [batch for batch in batches if len(batch) > 1]

    def outputs(self, batch: EncodedBatch, hyper: Hyperparameters) -> Outputs:
        first, second = batch.views
        losses = sim_cse(first, second, self._text_ids[batch.rows], temperature=hyper["temperature"])
        return Outputs([LossPart(losses)])
