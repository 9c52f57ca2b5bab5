"""Thresholds of labels, against a search through all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from model.config import LabelThresholdRule
from model.evaluation.label_thresholds import FEWEST_POSITIVES, best_f1_threshold, calibrate_labels

ENTRIES = st.lists(st.tuples(st.integers(0, 10).map(lambda n: n / 10), st.booleans()), min_size=1, max_size=40)


@given(ENTRIES)
def test_no_threshold_has_a_higher_f1(entries: list[tuple[float, bool]]) -> None:
    confidences, applies = np.array([c for c, _ in entries]), np.array([a for _, a in entries])
    chosen = best_f1_threshold(confidences, applies)

    def f1(threshold: float) -> float:
        hits = sum(a and c >= threshold for c, a in entries)
        return 2 * hits / max(1, sum(c >= threshold for c, _ in entries) + sum(a for _, a in entries))

    assert f1(chosen) == pytest.approx(max(f1(threshold) for threshold in [0.0, *np.arange(11) / 10 - 0.01]))
    assert 0 <= chosen <= 1


def test_of_equally_good_ones_the_nearest_to_a_half() -> None:
    assert best_f1_threshold(np.array([0.9, 0.1]), np.array([True, False])) == 0.5
    assert best_f1_threshold(np.array([0.9, 0.7]), np.array([True, False])) == pytest.approx(0.8)
    assert best_f1_threshold(np.array([0.9, 0.7]), np.array([False, False])) == 0.5


def made_up(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Label a is underrated, b overrated, c too rare to tell."""
    rng = np.random.default_rng(1)
    applies = rng.random((n, 3)) < np.array([0.3, 0.3, 10 / n])
    centre = np.where(applies, [0.4, 0.9, 0.9], [0.1, 0.6, 0.1])
    return np.clip(centre + rng.normal(0, 0.05, (n, 3)), 0, 1), applies


def test_zero_leaves_a_half() -> None:
    assert calibrate_labels(*made_up(), "abc", LabelThresholdRule.ZERO) == (0.5, {})


def test_a_global_threshold_has_the_highest_micro_f1() -> None:
    confidences, applies = made_up()
    threshold, single = calibrate_labels(confidences, applies, "abc", LabelThresholdRule.GLOBAL)
    assert single == {}

    def micro(t: float) -> float:
        return float(f1_score(applies, confidences >= t, average="micro"))

    assert micro(threshold) == max(micro(t) for t in np.linspace(0, 1, 1001))


def test_labels_with_enough_sentences_have_their_own() -> None:
    confidences, applies = made_up()
    assert applies[:, 2].sum() < FEWEST_POSITIVES <= applies[:, :2].sum(axis=0).min()
    threshold, single = calibrate_labels(confidences, applies, "abc", LabelThresholdRule.PER_LABEL)
    assert threshold == calibrate_labels(confidences, applies, "abc", LabelThresholdRule.GLOBAL)[0]
    assert set(single) == {"a", "b"}
    assert 0.15 < single["a"] < 0.35 < 0.65 < single["b"] < 0.85


def test_what_nobody_knows_is_left_out() -> None:
    confidences, applies = made_up()
    known = np.random.default_rng(2).random(applies.shape) < 0.8
    wrong = np.where(known, applies, ~applies)
    for rule in LabelThresholdRule:
        masked = calibrate_labels(confidences, wrong, "abc", rule, known=known)
        assert masked == calibrate_labels(confidences, applies, "abc", rule, known=known)
