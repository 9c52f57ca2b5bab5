"""Which metric chooses the checkpoint, and that it is computed as its name says."""

import numpy as np
import pytest

from model.config import Config
from model.contract.bundle import Head
from model.contract.dataset import Row
from model.data import TrainingData
from model.held_out import HeldOut
from model.metrics import retrieval_metrics


def data_of(train: list[str], valid: list[str]) -> TrainingData:
    labels = sorted(set(train))
    rows = [[Row(line=line, text="t", group=group) for line, group in enumerate(groups)] for groups in (train, valid)]
    return TrainingData(*rows, [], labels, np.array([labels.index(group) for group in train]), Config())


@pytest.mark.parametrize(
    ("valid", "has_head", "watched"),
    [
        (["a", "b"], True, "head_accuracy"),
        (["a", "b"], False, "knn1"),
        (["x", "x", "y", "y"], True, "hit_rate@1"),
        (["x", "x", "y", "y"], False, "hit_rate@1"),
        (["a", "b", "x"], True, "head_accuracy"),
    ],
)
def test_the_watched_metric_follows_the_held_out_groups(valid: list[str], has_head: bool, watched: str) -> None:
    assert HeldOut(data_of(["a", "a", "b"], valid), has_head=has_head).watched == watched


AXES = np.eye(3, dtype=np.float32)


def test_known_groups_are_classified_by_head_and_by_neighbours() -> None:
    held_out = HeldOut(data_of(["a", "a", "b"], ["a", "b"]), has_head=True)
    valid, train = AXES[[0, 1]], AXES[[0, 0, 1]]
    head = Head(("a", "b"), AXES[[0, 1]])
    assert held_out.watch(valid, head, lambda: train) == 1.0
    metrics = held_out.measure(valid, train, head)
    assert (metrics["head_accuracy"], metrics["head_macro_f1"]) == (1.0, 1.0)
    assert metrics["knn1"] == 1.0
    assert metrics["knn5"] == 0.5  # the two of group a outvote the one that is nearest


def test_without_a_head_known_groups_are_judged_by_their_nearest_training_row() -> None:
    held_out = HeldOut(data_of(["a", "b", "b"], ["b", "a"]), has_head=False)
    assert held_out.watch(AXES[[1, 1]], None, lambda: AXES[[0, 1, 1]]) == 0.5


def test_unseen_groups_are_retrieved_among_themselves() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((8, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = ["x", "x", "y", "y", "z", "z", "w", "w"]
    held_out = HeldOut(data_of(["a", "b"], groups), has_head=True)
    assert held_out.measure(vectors, vectors, None) == retrieval_metrics(vectors, groups)
    assert held_out.watch(vectors, None, lambda: vectors) == retrieval_metrics(vectors, groups)["hit_rate@1"]
