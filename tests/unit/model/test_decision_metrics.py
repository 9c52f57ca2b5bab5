"""Metrics of decisions, against counts by hand, a naive loop and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.contract.deciding.decision import DecisionParameters, Outcome, decide
from model.contract.deciding.evidence import Evidence
from model.evaluation.calibrate import Candidates
from model.evaluation.decision_metrics import decision_metrics
from model.evaluation.metrics import expected_calibration_error


def naive_ece(confidences: list[float], right: list[bool], n_bins: int) -> float:
    """Bins that differ by one entry at most, the larger ones first."""
    pairs = sorted(zip(confidences, right, strict=True), key=lambda pair: pair[0])
    size, larger = divmod(len(pairs), n_bins)
    total, start = 0.0, 0
    for number in range(n_bins):
        end = start + size + (number < larger)
        if end > start:
            total += abs(sum(c for c, _ in pairs[start:end]) - sum(r for _, r in pairs[start:end]))
        start = end
    return total / len(pairs)


@pytest.mark.parametrize("n", [1, 7, 15, 100, 2000])
def test_the_calibration_error_matches_a_naive_loop(n: int) -> None:
    rng = np.random.default_rng(n)
    confidences = rng.random(n)
    right = rng.random(n) < confidences**2
    expected = naive_ece(confidences.tolist(), right.tolist(), 15)
    assert expected_calibration_error(confidences, right) == pytest.approx(expected)


def test_honest_confidence_has_nearly_no_error_and_boasting_has_its_own() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.random(60_000)
    assert expected_calibration_error(confidences, rng.random(60_000) < confidences) < 0.01
    assert expected_calibration_error(np.full(1000, 0.9), np.arange(1000) < 600, n_bins=1) == pytest.approx(0.3)
    assert expected_calibration_error(np.ones(10), np.ones(10, bool)) == 0


def test_decisions_are_counted() -> None:
    rng = np.random.default_rng(1)
    sentences = [
        Candidates("ab"[int(rng.random() < 0.2)], Evidence(neighbour_scores={"a": s, "b": s - 0.1}))
        for s in rng.uniform(0.3, 1, 200)
    ]
    strangers = [Candidates(None, Evidence(neighbour_scores={"a": s})) for s in rng.uniform(0.1, 0.8, 90)]
    parameters = DecisionParameters(threshold=0.6, scale=15)
    found = decision_metrics(sentences, strangers, parameters)
    right, confidences = [], []
    for candidates in [*sentences, *strangers]:
        answer = decide(candidates.evidence, parameters)
        given = None if answer.outcome is Outcome.NO_MATCH else answer.groups[0].group
        right.append(given == candidates.true_group)
        confidences.append(answer.confidence)
    best = [max(c.evidence.neighbour_scores.values()) for c in [*sentences, *strangers]]
    assert found == pytest.approx(
        {
            "oos_auroc": roc_auc_score([1] * 200 + [0] * 90, best),
            "in_scope_accuracy": np.mean(right[:200]),
            "oos_recall": np.mean(right[200:]),
            "ece": naive_ece(confidences, right, 15),
        }
    )
    unsure = decision_metrics(sentences, strangers, parameters.model_copy(update={"margin": 0.2}))
    assert (unsure["in_scope_accuracy"], unsure["oos_recall"]) == (0, found["oos_recall"]), "ambiguous is no answer"
    of_groups_alone = decision_metrics(sentences, [], parameters)
    assert of_groups_alone == pytest.approx(
        {"in_scope_accuracy": np.mean(right[:200]), "ece": naive_ece(confidences[:200], right[:200], 15)}
    )
