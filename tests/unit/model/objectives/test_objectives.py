"""Each objective's raw loss against its formula written out, and what it hands over at the end."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import entropy
from torch import Tensor

from model.config import Config, Objective, make_config
from model.config.schedule import hyperparameters
from model.contract.dataset import Row
from model.contract.text import TextConfig, TextContract
from model.data.features import FeatureTable
from model.data.training_data import TrainingData
from model.errors import ConfigError
from model.objectives.factory import make_objective
from model.objectives.head import HeadObjective
from model.objectives.multi_label import MultiLabelObjective

DIM = 8
GROUPS = ["a"] * 6 + ["b"] * 3 + ["c"]
LABELS = ["a", "b", "c"]


def data_of(config: Config) -> TrainingData:
    if config.objective is Objective.MULTI_LABEL:
        tags = [("a", "b"), ("c",), (), ("a",), ("b", "c"), ("a", "b", "c"), (), ("b",), ("a",), ("c",)]
        rows = [Row(line=n, text=f"text {n}", labels=tags[n]) for n in range(10)]
        return TrainingData(rows, [], [], LABELS, np.zeros(10, np.int64), config)
    rows = [Row(line=n, text=f"text {n}", group=group) for n, group in enumerate(GROUPS)]
    return TrainingData(rows, [], [], LABELS, np.array([LABELS.index(group) for group in GROUPS]), config)


def unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


EMBEDDINGS = unit(np.random.default_rng(3).standard_normal((10, DIM)))


def make(*settings: str) -> HeadObjective:
    config = make_config("default", settings)
    data = data_of(config)
    contract = TextContract(TextConfig(), ["text"])
    table = FeatureTable([contract.tokenise(row.text) for row in data.train])
    torch.manual_seed(0)
    return make_objective(data, table, DIM, 0, np.empty(0, np.int64))  # type: ignore[return-value]


def raw_loss(objective: HeadObjective, rows: NDArray[np.int64], step: int = 0) -> float:
    def encode(asked: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(EMBEDDINGS[asked]).float()

    hyper = hyperparameters(step, 10, objective.config)
    return float(objective.loss(rows, encode, hyper, np.random.default_rng(0)).scalars["loss_raw"])


def cosines_of(objective: HeadObjective, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return EMBEDDINGS[rows] @ unit(objective.layer.weight.detach().double().numpy()).T


def cross_entropies(logits: NDArray[np.float64], labels: list[int]) -> NDArray[np.float64]:
    return np.array([np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels, strict=True)])


ROWS = np.arange(10)
TRUE = [LABELS.index(group) for group in GROUPS]
COUNTS = np.array([6, 3, 1])


def margined(cosines: NDArray[np.float64], psi: Callable[[float], float]) -> NDArray[np.float64]:
    moved = cosines.copy()
    for row, label in enumerate(TRUE):
        moved[row, label] = psi(cosines[row, label])
    return 30 * moved


def test_am_softmax_is_the_default() -> None:
    objective = make("objective=head")
    expected = cross_entropies(margined(cosines_of(objective, ROWS), lambda c: c - 0.35), TRUE).mean()
    assert raw_loss(objective, ROWS) == pytest.approx(expected, rel=1e-5)


def test_another_margin_and_its_warm_up() -> None:
    objective = make("objective=head", "margin_loss=arcface", "epochs=10", "margin_warmup_epochs=5")
    cosines = cosines_of(objective, ROWS)

    def half_way(cosine: float) -> float:
        return 0.5 * cosine + 0.5 * float(np.cos(np.arccos(cosine) + 0.5))

    plain = cross_entropies(30 * cosines, TRUE).mean()
    assert raw_loss(objective, ROWS, step=0) == pytest.approx(plain, rel=1e-5)
    middle = cross_entropies(margined(cosines, half_way), TRUE).mean()
    # step 2.5 of 10: 2.5 of ten epochs, half of the five warm-up ones
    assert raw_loss(objective, ROWS, step=2.5) == pytest.approx(middle, rel=1e-4)  # type: ignore[arg-type]


def test_balanced_weights_make_every_group_count_alike() -> None:
    objective = make("objective=head", "class_weight=balanced")
    losses = cross_entropies(margined(cosines_of(objective, ROWS), lambda c: c - 0.35), TRUE)
    weights = np.array([10 / (3 * COUNTS[label]) for label in TRUE])
    assert raw_loss(objective, ROWS) == pytest.approx(float((weights * losses).mean()), rel=1e-5)


@pytest.mark.parametrize(("settings", "counts"), [((), [6, 3, 1]), (("max_per_group=2",), [2, 2, 1])])
def test_logit_adjustment_takes_the_prior_of_what_an_epoch_shows(settings: tuple[str, ...], counts: list[int]) -> None:
    objective = make("objective=head", "logit_adjustment=loss", "logit_adjustment_tau=0.5", *settings)
    logits = margined(cosines_of(objective, ROWS), lambda c: c - 0.35)
    prior = np.array(counts) / np.sum(counts)
    assert raw_loss(objective, ROWS) == pytest.approx(
        cross_entropies(logits + 0.5 * np.log(prior), TRUE).mean(), rel=1e-5
    )


def test_the_joint_loss_is_the_heads_and_the_weighted_pairs() -> None:
    joint, pairs = make("objective=joint", "pair_weight=3"), make("objective=in_batch")
    rows = np.array([0, 6, 1, 7])  # pairs (0, 1) of a and (6, 7) of b: first sentences, then second ones
    of_head = cross_entropies(30 * (cosines_of(joint, rows) - 0.35 * np.eye(3)[[0, 1, 0, 1]]), [0, 1, 0, 1]).mean()
    cosines = EMBEDDINGS[[0, 6]] @ EMBEDDINGS[[1, 7]].T
    logits = (cosines - 0.2 * np.eye(2)) / 0.05
    of_pairs = (cross_entropies(logits, [0, 1]).mean() + cross_entropies(logits.T, [0, 1]).mean()) / 2
    assert raw_loss(pairs, rows) == pytest.approx(of_pairs, rel=1e-4)
    assert raw_loss(joint, rows) == pytest.approx(of_head + 3 * of_pairs, rel=1e-5)


def test_sim_cse_tells_a_sentence_from_all_others() -> None:
    objective = make("objective=sim_cse", "temperature=1")
    rows = np.array([0, 1, 2])
    logits = EMBEDDINGS[rows] @ EMBEDDINGS[rows].T
    expected = cross_entropies(logits, [0, 1, 2]).mean()  # both directions are the same without dropout
    assert raw_loss(objective, rows) == pytest.approx(expected, rel=1e-5)


def test_zlpr_over_linear_scores_and_the_head_that_is_stored() -> None:
    objective = make("objective=multi_label")
    assert isinstance(objective, MultiLabelObjective)
    weights, bias = objective.layer.weights().double().numpy(), objective.layer.bias().double().numpy()
    scores = objective.config.scale * (EMBEDDINGS @ weights.T + bias)
    holds = objective._targets.numpy() > 0
    expected = [
        np.log1p(np.exp(row[~has]).sum()) + np.log1p(np.exp(-row[has]).sum())
        for row, has in zip(scores, holds, strict=True)
    ]
    assert raw_loss(objective, ROWS) == pytest.approx(float(np.mean(expected)), rel=1e-5)
    confidences = objective.label_head().confidences(EMBEDDINGS.astype(np.float32))
    np.testing.assert_allclose(confidences, 1 / (1 + np.exp(-2 * scores)), atol=0.02)  # float16 storage


def test_the_stored_head_of_bce_is_not_doubled() -> None:
    objective = make("objective=multi_label", "multi_label_loss=bce")
    assert isinstance(objective, MultiLabelObjective)
    weights, bias = objective.layer.weights().double().numpy(), objective.layer.bias().double().numpy()
    scores = objective.config.scale * (EMBEDDINGS @ weights.T + bias)
    confidences = objective.label_head().confidences(EMBEDDINGS.astype(np.float32))
    np.testing.assert_allclose(confidences, 1 / (1 + np.exp(-scores)), atol=0.02)


def test_the_dominant_sub_center_is_handed_over() -> None:
    objective = make("objective=head", "sub_centers=2")
    raw_loss(objective, ROWS)
    centers = unit(objective.layer.weight.detach().double().numpy()).reshape(3, 2, DIM)
    for label, name in enumerate(LABELS):
        mine = EMBEDDINGS[[row for row, group in enumerate(GROUPS) if group == name]]
        nearest = np.bincount((mine @ centers[label].T).argmax(axis=1), minlength=2)
        np.testing.assert_allclose(objective.head().weights[label], centers[label][nearest.argmax()], atol=1e-3)


@pytest.mark.parametrize("sampler", ["uniform", "class_balanced", "pk"])
def test_an_epoch_is_cut_as_the_sampler_says(sampler: str) -> None:
    objective = make("objective=head", f"sampler={sampler}", "batch_size=4", "sentences_per_group=2")
    plan = objective.plan(np.random.default_rng(0), lambda: EMBEDDINGS.astype(np.float32))
    drawn = np.bincount(np.array(TRUE)[np.concatenate(plan)])
    if sampler == "uniform":
        assert sorted(np.concatenate(plan)) == list(range(10))
    elif sampler == "class_balanced":
        assert drawn.max() - drawn.min() <= 1
    else:
        assert {row for batch in plan for row in batch} == set(range(10))
        assert max(len(batch) for batch in plan) <= 4


def test_class_vectors_are_shown_groups_of_one_too_and_pairs_alone_are_not() -> None:
    for objective, visited in (("joint", set(range(10))), ("in_batch", set(range(9)))):
        plan = make(f"objective={objective}").plan(np.random.default_rng(0), lambda: EMBEDDINGS.astype(np.float32))
        assert {row for batch in plan for row in batch} == visited


SMOOTHED = "label_smoothing=0.1"
FLOOR = entropy([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])


def test_a_flood_level_below_the_floor_of_smoothing_is_refused_with_the_floor() -> None:
    with pytest.raises(ConfigError, match=f"keeps the loss at {FLOOR:.3g} or more"):
        make("objective=head", SMOOTHED, f"flood_level={0.99 * FLOOR}")
    make("objective=head", SMOOTHED, f"flood_level={1.01 * FLOOR}")


@pytest.mark.parametrize(
    "setting",
    [
        "class_weight=balanced",
        "false_negative_threshold=0.8",
        'hyperparameter_schedules={"label_smoothing": [[0, 0.1], [1, 0]]}',
        f'hyperparameter_schedules={{"flood_level": [[0, 0.1], [1, {1.01 * FLOOR}]]}}',
        "objective=in_batch",
    ],
)
def test_a_low_flood_level_is_left_alone_where_the_loss_may_reach_it(setting: str) -> None:
    make("objective=head", SMOOTHED, f"flood_level={0.9 * FLOOR}", setting)


def test_drawn_columns_have_the_floor_of_their_number() -> None:
    with pytest.raises(ConfigError, match=f"at {entropy([0.95, 0.05]):.3g} or more"):
        make("objective=head", SMOOTHED, "flood_level=0.01", "sampled_negatives=1")


def test_adacos_of_two_groups_is_refused_with_the_remedy() -> None:
    config = make_config("default", ["objective=head", "scale_mode=adacos"])
    two = replace(data_of(config), labels=LABELS[:2])
    table = FeatureTable([TextContract(TextConfig(), ["text"]).tokenise(row.text) for row in two.train])
    with pytest.raises(ConfigError, match="needs 3, there are 2: set scale_mode=fixed"):
        make_objective(two, table, DIM, 0, np.empty(0, np.int64))
    make("objective=head", "scale_mode=adacos")
