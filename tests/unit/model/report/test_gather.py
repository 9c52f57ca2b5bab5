"""From a run to its report: the same counts as the run's own metrics, and nothing missed where little is there."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from model.config import Config, Objective
from model.contract.bundle import Head
from model.contract.dataset import Row
from model.contract.deciding.decision import DecisionParameters
from model.evaluation.held_out import HeldOutAnswers, LabelAnswers, best_labels, head_metrics
from model.report.data import ReportData
from model.report.gather import gather, label_figures
from tests.fakes.finished_run import make_answers, make_data

TRAIN = [(f"train {number}", f"g{number % 5}") for number in range(40)]
VALID = [(f"valid {number}", f"g{number % 4}") for number in range(30)]


def gathered(data: object, seen: HeldOutAnswers | None, **changes: object) -> ReportData:
    given = {"epochs": [], "decision": DecisionParameters(), "metrics": {}, "seconds": {}} | changes
    return gather(data, seen, **given)  # type: ignore[arg-type]


def test_the_counts_agree_with_the_metrics_of_the_run() -> None:
    data = make_data(TRAIN, VALID)
    rng = np.random.default_rng(0)
    seen = make_answers(data, rng)
    head = Head(seen.head_labels, np.linalg.qr(rng.standard_normal((16, 5)))[0].T.astype(np.float32))
    valid = seen.embeddings[len(TRAIN) :]
    seen = replace(seen, head_given=tuple(best_labels(head, valid)))
    report = gathered(data, seen)
    wrong = sum(group.figures.n_true - group.figures.n_right for group in report.hard_groups)
    accuracy = head_metrics(head, valid, [group for _, group in VALID])["head_accuracy"]
    assert 1 - wrong / len(VALID) == pytest.approx(accuracy)
    assert report.calibration is not None
    assert report.calibration.n == len(VALID)
    assert report.scores is not None
    assert report.map is not None
    assert len(report.map.points) == len(TRAIN) + len(VALID)


def test_sizes_duplicates_and_the_chosen_epoch() -> None:
    data = make_data([*TRAIN, ("Hello!", "g0"), ("hello", "g1"), ("lonely", "rare")], VALID, ["stranger"])
    report = gathered(data, None, metrics={"knn1": 0.5, "kept_epoch": 7.0})
    sizes = report.sizes
    assert (sizes.n_train, sizes.n_held_out, sizes.n_out_of_scope, sizes.n_groups) == (43, 30, 1, 6)
    # eight of each in training, one more in two; valid: 8 8 7 7 of the first four
    assert (sizes.smallest, sizes.median, sizes.largest, sizes.n_small) == (1, 15.0, 17, 1)
    assert report.n_duplicates == 1
    assert report.duplicates[0].groups == ("g0", "g1")
    assert (report.metrics, report.kept_epoch) == ({"knn1": 0.5}, 7)
    assert report.settings["hidden_size"] == "128"


def test_without_held_out_rows_there_is_a_report_all_the_same() -> None:
    report = gathered(make_data(TRAIN, []), None, epochs=[{"epoch": 1, "loss": 1.0}])
    assert (report.confusions, report.calibration, report.map, report.kept_epoch) == ((), None, None, None)
    assert report.curves[0].values == (1.0,)


def test_label_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    names = ("a", "b", "c", "never")
    true = rng.random((50, 4)) < (0.5, 0.3, 0.2, 0.0)
    confidences = np.where(rng.random((50, 4)) < 0.8, true, ~true) * rng.uniform(0.5, 1, (50, 4))
    confidences[:, 3] = 0
    rows = [
        Row(line=n, text="t", labels=tuple(name for name, has in zip(names, row, strict=True) if has))
        for n, row in enumerate(true)
    ]
    thresholds = np.array([0.5, 0.6, 0.55, 0.5], np.float32)
    found = label_figures(LabelAnswers(names, confidences.astype(np.float32), thresholds), rows)
    given = confidences.astype(np.float32) > thresholds
    precision, recall, f1, support = precision_recall_fscore_support(true, given, zero_division=0)
    assert [figures.f1 for figures in found] == pytest.approx(sorted(f1[:3]))
    for figures in found:
        index = names.index(figures.name)
        assert figures.n_true == support[index]
        assert (figures.precision, figures.recall) == pytest.approx((precision[index], recall[index]))


def test_label_figures_count_soft_labels_and_leave_out_unknown_ones_as_the_metrics_do() -> None:
    rows = [
        Row(line=1, text="t", labels=("a",)),
        Row(line=2, text="u", label_weights={"a": 0.7, "b": 0.2}),
        Row(line=3, text="v", unknown_labels=("a",), labels=("new",)),
        Row(line=4, text="w", unknown_labels=("b",)),
    ]
    given = np.array([[1, 1], [1, 0], [1, 0], [0, 1]], np.float32)
    of_a, of_b = sorted(
        label_figures(LabelAnswers(("a", "b"), given, np.array([0.5], np.float32)), rows), key=lambda f: f.name
    )
    assert (of_a.n_true, of_a.n_answered, of_a.n_right) == (2, 2, 2)
    assert (of_b.n_true, of_b.n_answered, of_b.n_right) == (0, 1, 0)


def test_sentences_that_are_learnt_from_alone_are_no_group() -> None:
    rng = np.random.default_rng(2)
    data = make_data(TRAIN, VALID)
    data = replace(data, config=Config(objective=Objective.SIM_CSE))
    seen = make_answers(data, rng, head=False)
    report = gathered(data, replace(seen, embeddings=seen.embeddings[len(TRAIN) :]))
    assert report.map is not None
    assert len(report.map.points) == len(VALID)
    assert sum(confusion.first_size for confusion in report.confusions[:1]) <= len(VALID)
    assert (report.sizes.n_groups, report.sizes.largest) == (4, 8)
    labelled = gathered(replace(data, config=Config(objective=Objective.MULTI_LABEL)), None)
    assert labelled.sizes.n_groups == 0


def test_a_run_with_several_labels_has_figures_by_label_and_no_confusions() -> None:
    data = make_data([], [])
    rows = [Row(line=1, text="t", labels=("a",)), Row(line=2, text="u", labels=("b",))]
    answers = LabelAnswers(("a", "b"), np.array([[0.9, 0.1], [0.8, 0.2]], np.float32), np.array([0.5], np.float32))
    seen = HeldOutAnswers(monitor="micro_f1", embeddings=np.eye(2, dtype=np.float32), labels=answers)
    report = gathered(replace(data, valid=rows), seen)
    assert [(figures.name, figures.n_right, figures.n_answered) for figures in report.labels] == [
        ("b", 0, 0),
        ("a", 1, 2),
    ]
    assert report.answered_by == ""
