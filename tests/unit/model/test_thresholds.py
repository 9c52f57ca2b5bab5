"""The threshold rules, against a search through all thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import ThresholdRule
from model.errors import ConfigError
from model.evaluation.thresholds import balanced_threshold, choose_threshold, false_accept_threshold

SCORES = st.lists(st.integers(-8, 8).map(lambda n: n / 8), min_size=1, max_size=30)


def shares(threshold: float, inside: list[float], outside: list[float]) -> float:
    return sum(s >= threshold for s in inside) / len(inside) + sum(s < threshold for s in outside) / len(outside)


@given(SCORES, SCORES)
def test_no_threshold_is_more_balanced(inside: list[float], outside: list[float]) -> None:
    chosen = balanced_threshold(np.array(inside), np.array(outside))
    every = [-1.0, *np.arange(-8, 9) / 8 + 0.01, 1.1]
    assert shares(chosen, inside, outside) == pytest.approx(max(shares(t, inside, outside) for t in every))


def test_the_balanced_threshold_is_in_the_middle_of_its_gap() -> None:
    assert balanced_threshold(np.array([0.8, 0.9]), np.array([0.2, 0.5])) == pytest.approx(0.65)


@given(SCORES, st.floats(0, 1))
def test_the_false_accept_threshold_is_the_smallest_that_keeps_the_target(outside: list[float], target: float) -> None:
    chosen = false_accept_threshold(np.array(outside), target)

    def accepted(threshold: float) -> float:
        return sum(score >= threshold for score in outside) / len(outside)

    assert accepted(chosen) <= target + 1e-9
    lower = np.nextafter(chosen, -np.inf)
    assert chosen == -1 or accepted(lower) > target


def test_strangers_of_equal_score_are_refused_together() -> None:
    outside = np.array([0.9, 0.7, 0.7, 0.1])
    assert false_accept_threshold(outside, 0.5) == np.nextafter(0.7, 1)  # three would be too many
    assert false_accept_threshold(outside, 0.75) == np.nextafter(0.1, 1)
    assert false_accept_threshold(outside, 0.0) == np.nextafter(0.9, 1)


def test_a_share_that_is_not_exact_in_binary_counts_whole_sentences() -> None:
    outside = np.arange(100) / 100
    assert sum(outside >= false_accept_threshold(outside, 0.29)) == 29  # 0.29 * 100 is 28.999999999999996


@pytest.mark.parametrize("target", [-0.1, 1.1, float("nan")])
def test_a_target_that_is_no_share_is_named(target: float) -> None:
    with pytest.raises(ConfigError, match="must be a share from 0 to 1"):
        choose_threshold(ThresholdRule.FALSE_ACCEPT_RATE, np.array([0.5]), np.array([0.5]), false_accept_target=target)


def test_the_rule_is_the_one_named() -> None:
    inside, outside = np.array([0.8, 0.9]), np.array([0.2, 0.5])
    balanced, rate = (choose_threshold(rule, inside, outside, false_accept_target=0.5) for rule in ThresholdRule)
    assert (balanced, rate) == (balanced_threshold(inside, outside), np.nextafter(0.2, 1))
