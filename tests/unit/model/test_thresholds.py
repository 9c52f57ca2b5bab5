"""The threshold rules, against a search through all thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import ThresholdRule
from model.errors import ConfigError
from model.evaluation.thresholds import balanced_threshold, choose_threshold, false_accept_threshold

SCORES = st.lists(st.integers(-8, 8).map(lambda n: n / 8), min_size=1, max_size=30)


@given(SCORES, SCORES, st.integers(0, 10))
def test_no_threshold_is_more_balanced(inside: list[float], outside: list[float], n_wrong: int) -> None:
    n_in_scope = len(inside) + n_wrong

    def apart(threshold: float) -> float:
        answered = sum(score >= threshold for score in inside) / n_in_scope
        return abs(answered - sum(score < threshold for score in outside) / len(outside))

    chosen = balanced_threshold(np.array(inside), np.array(outside), n_in_scope)
    assert apart(chosen) == pytest.approx(min(apart(t) for t in [-1.0, *np.arange(-8, 9) / 8 + 0.01, 1.1]))


def test_the_balanced_threshold_is_in_the_middle_of_its_gap() -> None:
    assert balanced_threshold(np.array([0.8, 0.9]), np.array([0.2, 0.5]), 2) == pytest.approx(0.65)


def test_with_one_side_empty_the_other_has_its_way() -> None:
    none = np.empty(0)
    assert balanced_threshold(np.array([0.8, 0.9]), none, 2) == 0.8  # nobody to refuse
    assert balanced_threshold(none, np.array([0.8, 0.9]), 5) > 0.9  # no answer would be right
    assert balanced_threshold(none, none, 5) == 0.0


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
        choose_threshold(
            ThresholdRule.FALSE_ACCEPT_RATE,
            np.array([0.5]),
            np.array([0.5]),
            n_in_scope=1,
            false_accept_target=target,
        )


def test_the_rule_is_the_one_named() -> None:
    inside, outside = np.array([0.8, 0.9]), np.array([0.2, 0.5])
    balanced, rate = (
        choose_threshold(rule, inside, outside, n_in_scope=2, false_accept_target=0.5) for rule in ThresholdRule
    )
    assert (balanced, rate) == (balanced_threshold(inside, outside, 2), np.nextafter(0.2, 1))
