"""What rules let pass: candidates as good, not worse ones, not bounds that are crossed, not chance."""

import numpy as np
import pytest

from model.config import GateRules
from model.errors import ConfigError
from model.judging.rules import (
    Measure,
    apply_above_chance,
    apply_bounds,
    apply_calibration,
    apply_paired,
)

N = 1000


def shares(right: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(N) < right).astype(float)


def accuracy(active: float, candidate: float) -> Measure:
    return Measure("accuracy", shares(active, 1), shares(candidate, 2))


def test_a_candidate_as_good_passes_and_one_much_worse_does_not() -> None:
    (same,), (worse,) = (apply_paired([accuracy(0.9, candidate)], GateRules()) for candidate in (0.9, 0.8))
    assert same.passed and not same.detail
    assert not worse.passed
    assert worse.name == "not_worse.accuracy" and worse.n == N
    assert worse.difference == pytest.approx((worse.candidate or 0) - (worse.active or 0))
    assert "accuracy fell from 0.8920 to 0.7930" in worse.detail and "1000 kept-out sentences" in worse.detail


def test_equally_good_candidates_are_refused_as_seldom_as_alpha_says() -> None:
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(400):
        hard = rng.random((2, N)) * 0.2 + 0.8
        measures = [Measure("accuracy", *(rng.random((2, N)) < share).astype(float)) for share in hard]
        refused += any(not outcome.passed for outcome in apply_paired(measures, GateRules(alpha=0.05)))
    assert refused / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_what_cannot_be_measured_is_no_rule() -> None:
    nothing = Measure("out_of_scope_recall", np.empty(0), np.empty(0))
    assert apply_paired([nothing], GateRules()) == []
    assert apply_bounds([nothing], GateRules(least={"out_of_scope_recall": 0.9})) == []


@pytest.mark.parametrize(("most", "passed"), [(0.1, True), (0.099, False)])
def test_a_metric_may_fall_so_far(most: float, passed: bool) -> None:
    measure = Measure("hit_rate@1", np.ones(10), np.array([0.0] + [1.0] * 9))
    (outcome,) = apply_bounds([measure], GateRules(max_drop={"hit_rate@1": most}))
    assert (outcome.passed, bool(outcome.detail)) == (passed, not passed)
    assert outcome.name == "max_drop.hit_rate@1" and outcome.difference == pytest.approx(-0.1)


@pytest.mark.parametrize(("least", "passed"), [(0.9, True), (0.91, False)])
def test_a_metric_must_reach_so_much(least: float, passed: bool) -> None:
    measure = Measure("accuracy", np.zeros(10), np.array([0.0] + [1.0] * 9))
    (outcome,) = apply_bounds([measure], GateRules(least={"accuracy": least}))
    assert (outcome.passed, bool(outcome.detail)) == (passed, not passed)


def test_groups_at_random_are_refused_whatever_their_sizes() -> None:
    rng = np.random.default_rng(5)
    for shares_of in ([0.9, 0.05, 0.05], [1 / 3] * 3, [0.01] * 100):
        true, by_chance = rng.choice(len(shares_of), (2, 300), p=shares_of)
        (random,) = apply_above_chance(by_chance, true, GateRules())
        assert not random.passed and "given at random" in random.detail
        knowing = np.where(rng.random(300) < 0.6, true, by_chance)
        (outcome,) = apply_above_chance(knowing, true, GateRules())
        assert outcome.passed and not outcome.detail
        expected = sum(float(np.mean(knowing == group) * np.mean(true == group)) for group in range(len(shares_of)))
        assert outcome.active == pytest.approx(expected)


@pytest.mark.parametrize("alpha", [0.01, 0.0004, 1e-9])
def test_right_answers_are_above_chance_at_any_alpha(alpha: float) -> None:
    rng = np.random.default_rng(6)
    true, by_chance = rng.integers(0, 20, (2, 300))
    (right,), (random,) = (apply_above_chance(given, true, GateRules(alpha=alpha)) for given in (true, by_chance))
    assert right.passed and not random.passed


def test_naming_the_largest_group_always_is_chance() -> None:
    true = np.array([0] * 90 + [1] * 10)
    (outcome,) = apply_above_chance(np.zeros(100, np.int64), true, GateRules())
    assert not outcome.passed and outcome.candidate == outcome.active == 0.9


@pytest.mark.parametrize("true", [[], [0] * 50, [0] * 49 + [1], [0, 1, 2]])
def test_chance_is_no_rule_where_even_right_answers_could_be_chance(true: list[int]) -> None:
    numbers = np.array(true, np.int64)
    assert apply_above_chance(numbers, numbers, GateRules(alpha=0.01)) == []


def test_chance_is_no_rule_where_it_is_off() -> None:
    numbers = np.arange(50)
    assert len(apply_above_chance(numbers, numbers, GateRules())) == 1
    assert apply_above_chance(numbers, numbers, GateRules(above_chance=False)) == []


def test_calibration_is_looked_at_where_a_bound_is_set() -> None:
    assert apply_calibration(0.02, 0.5, GateRules()) == []
    (good,), (bad,) = (apply_calibration(0.02, error, GateRules(max_ece_rise=0.05)) for error in (0.06, 0.08))
    assert good.passed and not bad.passed
    assert "from 0.0200 to 0.0800" in bad.detail


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"alpha": 0}, "gate alpha"),
        ({"alpha": 0.5}, "gate alpha"),
        ({"alhpa": 0.1}, "gate alhpa"),
        ({"least": {"recall": 0.5}}, "gate least.recall"),
        ({"max_drop": {"accuracy": 2}}, "gate max_drop.accuracy"),
        ({"max_ece_rise": float("nan")}, "gate max_ece_rise"),
        ([], "gate rules"),
    ],
)
def test_a_wrong_rule_is_named(values: object, named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named}.*there are alpha, tolerance, max_drop"):
        GateRules.read(values)
