"""Which metric chooses the checkpoint, and that it is computed as its name says."""

from dataclasses import replace

import numpy as np
import pytest

from model.config import Config, Objective
from model.contract.dataset import Row
from model.contract.deciding.head import Head, LabelHead
from model.data.training_data import TrainingData
from model.errors import ConfigError
from model.evaluation.held_out import HeldOut
from model.evaluation.metrics import retrieval_metrics


def data_of(train: list[str], valid: list[str]) -> TrainingData:
    labels = sorted(set(train))
    rows = [[Row(line=line, text="t", group=group) for line, group in enumerate(groups)] for groups in (train, valid)]
    return TrainingData(*rows, [], labels, np.array([labels.index(group) for group in train]), Config())


@pytest.mark.parametrize(
    ("valid", "has_head", "watched", "n_measured"),
    [
        (["a", "b"], True, "head_accuracy", 2),
        (["a", "b"], False, "knn1", 2),
        (["x", "x", "y", "y"], True, "hit_rate@1", 4),
        (["x", "x", "y", "y", "z"], False, "hit_rate@1", 4),  # nothing can be found for the one of z
        (["a", "b", "x"], True, "head_accuracy", 3),
    ],
)
def test_the_watched_metric_follows_the_held_out_groups(
    valid: list[str], has_head: bool, watched: str, n_measured: int
) -> None:
    held_out = HeldOut(data_of(["a", "a", "b"], valid), has_head=has_head)
    assert (held_out.monitor, held_out.n_measured) == (watched, n_measured)


AXES = np.eye(3, dtype=np.float32)


def test_known_groups_are_classified_by_head_and_by_neighbours() -> None:
    held_out = HeldOut(data_of(["a", "a", "b"], ["a", "b"]), has_head=True)
    valid, train = AXES[[0, 1]], AXES[[0, 0, 1]]
    head = Head(("a", "b"), AXES[[0, 1]])
    assert held_out.watch(valid, head, None, lambda: train)["head_accuracy"] == 1.0
    metrics = held_out.measure(valid, train, head)
    assert (metrics["head_accuracy"], metrics["head_macro_f1"]) == (1.0, 1.0)
    assert metrics["knn1"] == 1.0
    assert metrics["knn5"] == 0.5  # the two of group a outvote the one that is nearest


def test_without_a_head_known_groups_are_judged_by_their_nearest_training_row() -> None:
    held_out = HeldOut(data_of(["a", "b", "b"], ["b", "a"]), has_head=False)
    assert held_out.watch(AXES[[1, 1]], None, None, lambda: AXES[[0, 1, 1]])["knn1"] == 0.5


def test_unseen_groups_are_retrieved_among_themselves() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((8, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = ["x", "x", "y", "y", "z", "z", "w", "w"]
    held_out = HeldOut(data_of(["a", "b"], groups), has_head=True)
    assert held_out.measure(vectors, vectors, None) == retrieval_metrics(vectors, groups)
    assert held_out.watch(vectors, None, None, lambda: vectors) == retrieval_metrics(vectors, groups)


def test_any_metric_can_be_watched_and_an_unknown_one_names_the_others() -> None:
    data = data_of(["a", "a", "b"], ["a", "b"])
    watching = replace(data, config=Config(monitor="knn5"))
    held_out = HeldOut(watching, has_head=True)
    values = held_out.watch(AXES[[0, 1]], Head(("a", "b"), AXES[[0, 1]]), None, lambda: AXES[[0, 0, 1]])
    assert (held_out.monitor, values["knn5"]) == ("knn5", 0.5)
    with pytest.raises(ConfigError, match="monitor=hit_rate@1: this run can watch head_accuracy, head_macro_f1, knn1"):
        HeldOut(replace(data, config=Config(monitor="hit_rate@1")), has_head=True)


def test_several_labels_are_judged_at_a_confidence_of_a_half() -> None:
    rows = [Row(line=1, text="t", labels=("a", "c")), Row(line=2, text="t", labels=("b",)), Row(line=3, text="t")]
    config = Config(objective=Objective.MULTI_LABEL)
    held_out = HeldOut(TrainingData(rows, rows, [], ["a", "b", "c"], np.zeros(3, np.int64), config), has_head=False)
    head = LabelHead(("a", "b", "c"), np.eye(3, dtype=np.float32), np.full(3, -0.5, np.float32))
    values = held_out.watch(AXES, None, head, lambda: AXES)  # the scores hold for a, b and c, one a row
    assert held_out.monitor == "micro_f1"
    # predicted a / b / c, true a c / b / nothing: 2 hits of 3 predicted and 3 true
    assert values["micro_f1"] == pytest.approx(2 / 3)
    assert values["macro_f1"] == pytest.approx((1 + 1 + 0) / 3)
    assert values["exact_match"] == pytest.approx(1 / 3)
