"""Metrics of several labels, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, label_ranking_average_precision_score, label_ranking_loss

from model.contract.dataset import Row
from model.evaluation.label_metrics import LabelTruth, label_metrics


@pytest.mark.parametrize("seed", range(5))
def test_they_match_scikit_learn_with_ties_and_labels_that_never_occur(seed: int) -> None:
    rng = np.random.default_rng(seed)
    applies = rng.random((60, 7)) < 0.3
    applies[:, 6] = False
    applies[0], applies[1] = False, True
    confidences = np.round(0.6 * applies * rng.random((60, 7)) + 0.5 * rng.random((60, 7)), 1)
    predicted = confidences >= 0.5
    predicted[:, 6] = False
    found = label_metrics(confidences, predicted, LabelTruth(tuple("abcdefg"), applies, np.ones_like(applies)))
    assert found == pytest.approx(
        {
            "micro_f1": f1_score(applies, predicted, average="micro", zero_division=0),
            "macro_f1": f1_score(applies, predicted, average="macro", zero_division=0),
            "exact_match": accuracy_score(applies, predicted),
            "label_ranking_loss": label_ranking_loss(applies, confidences),
            "label_ranking_average_precision": label_ranking_average_precision_score(applies, confidences),
        }
    )
    assert 0.1 < found["macro_f1"] < 0.9


def test_unknown_labels_have_no_part() -> None:
    """The same as without these entries: flipping what was predicted of them changes nothing."""
    rng = np.random.default_rng(9)
    applies, known = rng.random((40, 5)) < 0.4, rng.random((40, 5)) < 0.7
    confidences = rng.random((40, 5))
    predicted = confidences > 0.5
    truth = LabelTruth(tuple("abcde"), applies, known)
    found = label_metrics(confidences, predicted, truth)
    flipped = LabelTruth(truth.labels, applies ^ ~known, known)
    assert label_metrics(np.where(known, confidences, 1 - confidences), predicted ^ ~known, flipped) == found
    assert found["micro_f1"] == pytest.approx(f1_score(applies[known], predicted[known]))


def test_truth_from_rows() -> None:
    rows = [
        Row(line=2, text="x", labels=("b",), label_weights={"a": 0.5, "c": 0.4}),
        Row(line=3, text="y", unknown_labels=("b",)),
    ]
    truth = LabelTruth.of(rows, ["z", "b"])
    assert truth.labels == ("z", "b", "a", "c")
    assert truth.applies.tolist() == [[False, True, True, False], [False] * 4]
    assert truth.known.tolist() == [[True] * 4, [True, False, True, True]]
