"""How a step's loss is put together: raw loss, flooding, regularisers, extra rows."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import Config, FloodMode, RDropOn
from model.config.schedule import Hyperparameters, hyperparameters
from model.data.batching import BatchPlan
from model.losses.cross_entropy import cross_entropy
from model.objectives.base import EncodedBatch, EncodeTraining, LossPart, Outputs, Regulariser, TrainingObjective
from model.objectives.regularisers import Divergence, OutlierExposure, RDrop, UnlabelledRDrop

RNG = np.random.default_rng(0)


class Given(TrainingObjective):
    """Cross-entropy of embeddings taken as logits; the true class of every row is 1."""

    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        return []

    def outputs(self, batch: EncodedBatch, hyper: Hyperparameters) -> Outputs:
        labels = torch.ones(len(batch.flat), dtype=torch.int64)
        return Outputs([LossPart(cross_entropy(batch.flat, labels))], lambda embeddings: embeddings)


class Constant(Regulariser):
    name, weight = "constant", "center_loss_weight"

    def loss(self, batch: EncodedBatch, outputs: Outputs, extra: Tensor) -> Tensor:
        return torch.tensor(7.0)


def run(objective: TrainingObjective, logits: list[list[float]], rows: int = 1) -> tuple[float, dict[str, float]]:
    """The loss when the encoder gives these vectors, one a row asked for."""

    def encode(asked: NDArray[np.int64]) -> Tensor:
        assert len(asked) == len(logits)
        return torch.tensor(logits, dtype=torch.float64)

    hyper = hyperparameters(0, 1, objective.config)
    step = objective.loss(np.arange(rows), encode, hyper, RNG)
    return float(step.total), {name: float(value) for name, value in step.scalars.items()}


def test_r_drop_gives_the_published_figure() -> None:
    """methods 2.1: logits a, b, true class 1, alpha 4: the mean form, half of the paper's sum."""
    objective = Given(Config(rdrop_alpha=4), [RDrop(Divergence(RDropOn.LOGITS, multi_label=False))])
    total, scalars = run(objective, [[1, 2, 0.5], [1.5, 1, 0.2]])
    assert total == pytest.approx(1.252359624)
    assert scalars["rdrop_kl"] == pytest.approx(0.454788753 / 4)


def test_r_drop_of_several_labels_gives_the_published_figure() -> None:
    term = RDrop(Divergence(RDropOn.LOGITS, multi_label=True))
    _, scalars = run(Given(Config(), [term]), [[2.0, -1.0], [1.0, -0.5]])
    assert scalars["rdrop_kl"] == pytest.approx(0.204038123 / 4)


@pytest.mark.parametrize(("level", "expected"), [(0.2, 0.25), (0.1, 0.15), (0.15, 0.15)])
def test_only_the_raw_loss_is_flooded(level: float, expected: float) -> None:
    """A raw loss of .15 (methods, section 12) and a regulariser of 7 with weight 2."""
    logit = -np.log(np.expm1(0.15))  # cross-entropy of [0, x] with true class 1 is log(1 + exp(-x))
    objective = Given(Config(flood_level=level, center_loss_weight=2), [Constant()])
    total, scalars = run(objective, [[0, logit]])
    assert total == pytest.approx(expected + 14)
    assert scalars["loss_raw"] == pytest.approx(0.15)
    assert scalars["flooded_share"] == float(scalars["loss_raw"] < level)


@pytest.mark.parametrize(("mode", "expected"), [(FloodMode.INSTANCE, 0.35), (FloodMode.BATCH, 0.2)])
def test_flooding_each_sentence_is_not_flooding_the_mean(mode: FloodMode, expected: float) -> None:
    logits = [[0, float(-np.log(np.expm1(loss)))] for loss in (0.05, 0.35)]
    objective = Given(Config(flood_level=0.2, flood_mode=mode), [])
    total, _ = run(objective, logits, rows=2)
    assert total == pytest.approx(expected)


def test_unlabelled_rows_are_encoded_twice_beside_the_batch() -> None:
    term = UnlabelledRDrop(np.array([8]), Divergence(RDropOn.LOGITS, multi_label=False))
    assert list(term.extra_rows(4, RNG)) == [8, 8]
    many = UnlabelledRDrop(np.arange(100, 200), Divergence(RDropOn.LOGITS, multi_label=False))
    first, second = many.extra_rows(5, RNG).reshape(2, 5)
    assert list(first) == list(second)
    assert len(set(first)) == 5
    objective = Given(Config(rdrop_unlabelled_weight=4), [term])
    total, scalars = run(objective, [[0, 0, 0], [1, 2, 0.5], [1.5, 1, 0.2]])
    assert scalars["rdrop_unlabelled_kl"] == pytest.approx(0.454788753 / 4)
    assert total == pytest.approx(np.log(3) + 0.454788753)


def test_outliers_are_pulled_to_the_uniform_distribution() -> None:
    objective = Given(Config(outlier_exposure_weight=0.5), [OutlierExposure(np.array([5, 6]), np.empty(0, np.int64))])
    logits = [[0, 0, 0], [1, 2, 0.5], [0, 0, 0]]
    total, scalars = run(objective, logits)
    log_z = np.log(np.exp(logits).sum(axis=1))
    expected = np.mean([log_z[1] - np.mean(logits[1]), log_z[2] - np.mean(logits[2])])
    assert scalars["outlier_loss"] == pytest.approx(expected)
    assert total == pytest.approx(np.log(3) + 0.5 * expected)


def test_r_drop_on_embeddings_is_one_minus_their_cosine() -> None:
    term = RDrop(Divergence(RDropOn.EMBEDDINGS, multi_label=False))
    _, scalars = run(Given(Config(), [term]), [[1, 0], [0.6, 0.8]])
    assert scalars["rdrop_kl"] == pytest.approx(0.4)
