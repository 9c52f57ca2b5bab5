"""The tests of the gate, against SciPy, against definitions written out, and by what they do to chance."""

import math
import tracemalloc
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from model.judging.statistics import (
    better_than_chance,
    binomial_tail,
    bootstrap_interval,
    bootstrap_worse,
    bundled_losses,
    holm,
    least_chance,
    mcnemar_worse,
    wilson,
    worse_by_more,
)


@settings(max_examples=50)
@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.01, 0.99))
def test_the_tail_is_that_of_scipy(k: int, more: int, p: float) -> None:
    expected = float(binom.sf(k - 1, k + more, p))  # exact to seven digits, but for the smallest
    assert binomial_tail(k, k + more, p) == pytest.approx(expected, rel=1e-7, abs=1e-200)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_mcnemar_is_the_sign_test_of_scipy(pairs: list[tuple[bool, bool]]) -> None:
    active, candidate = (np.array(side, bool) for side in zip(*pairs, strict=True))
    losses, gains = sum(a and not c for a, c in pairs), sum(c and not a for a, c in pairs)
    expected = binomtest(losses, losses + gains, 0.5, "greater").pvalue if losses + gains else 1.0
    assert mcnemar_worse(active, candidate) == pytest.approx(float(expected))


@settings(max_examples=50)
@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_is_that_of_scipy(k: int, more: int) -> None:
    n = k + more
    expected = binomtest(k, n).proportion_ci(0.95, "wilson")
    assert wilson(np.arange(n) < k) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_of_nothing_wilson_knows_nothing() -> None:
    assert wilson(np.empty(0, bool)) == (0.0, 1.0)


@given(st.dictionaries(st.sampled_from("abcde"), st.floats(0, 0.1), min_size=1), st.floats(0.001, 0.2))
def test_holm_is_the_closed_test_of_bonferroni(p_values: dict[str, float], alpha: float) -> None:
    """A hypothesis is rejected if every set that holds it is: by Bonferroni, the least p of the set is small enough."""
    sets = [some for size in range(1, len(p_values) + 1) for some in combinations(p_values, size)]
    rejected = {some for some in sets if min(p_values[name] for name in some) <= alpha / len(some)}
    assert holm(p_values, alpha) == {
        name for name in p_values if all(some in rejected for some in sets if name in some)
    }


def test_a_bootstrapped_interval_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.2, 900)
    half = 1.96 * values.std() / math.sqrt(len(values))
    low, high = bootstrap_interval(values)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


@pytest.mark.parametrize("shift", [-0.02, -0.01, 0.0, 0.01])
def test_a_bootstrapped_p_value_is_that_of_the_normal_law(shift: float) -> None:
    noise = np.random.default_rng(1).normal(0, 0.3, 1000)
    differences = noise - noise.mean() + shift
    z = shift / (differences.std() / math.sqrt(len(differences)))
    expected = 0.5 * math.erfc(-z / math.sqrt(2))
    assert bootstrap_worse(np.zeros(1000), differences) == pytest.approx(expected, abs=0.03)


def test_the_same_answers_are_never_worse() -> None:
    scores = np.array([0.0, 0.5, 1.0] * 10)
    assert bootstrap_worse(scores, scores) == 1.0
    assert mcnemar_worse(scores > 0, scores > 0) == 1.0


@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05])
def test_the_p_value_of_a_loss_beyond_a_margin_is_met_by_chance(margin: float) -> None:
    """Of candidates that are worse by just the margin, about one in twenty is found to be worse by more."""
    rng = np.random.default_rng(4)
    n, found = 1000, 0
    for _ in range(1000):
        active = rng.random(n) < 0.9
        change = rng.random(n)
        candidate = np.where(active, change >= (0.03 + margin) / 0.9, change < 0.3)
        found += worse_by_more(active, candidate, margin) <= 0.05
    assert 0.015 < found / 1000 < 0.07


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.floats(0, 0.2), st.floats(0, 0.2))
def test_a_larger_margin_never_makes_a_loss_surer(pairs: list[tuple[bool, bool]], one: float, other: float) -> None:
    active, candidate = (np.array([pair[side] for pair in pairs], bool) for side in (0, 1))
    low, high = (worse_by_more(active, candidate, margin) for margin in sorted((one, other)))
    assert mcnemar_worse(active, candidate) == worse_by_more(active, candidate, 0.0) <= low <= high + 1e-12


GROUPS = st.lists(st.integers(0, 2), min_size=1, max_size=6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6))
def test_chance_is_the_share_of_all_orders(pairs: list[tuple[int, int]]) -> None:
    given_, true = (list(side) for side in zip(*pairs, strict=True))
    right = sum(one == other for one, other in pairs)
    orders = [sum(a == b for a, b in zip(order, true, strict=True)) >= right for order in permutations(given_)]
    share = sum(orders) / len(orders)
    assert better_than_chance(np.array(given_), np.array(true)) == pytest.approx(share, abs=0.06)


@settings(max_examples=30, deadline=None)
@given(GROUPS)
def test_right_answers_are_as_unlikely_as_can_be(true: list[int]) -> None:
    orders = list(permutations(true))
    assert least_chance(np.array(true)) == pytest.approx(sum(list(order) == true for order in orders) / len(orders))


def test_losses_of_single_groups_are_those_of_the_sign_test() -> None:
    """Where each group has one sentence, the sum of squares is the count of losses."""
    rng = np.random.default_rng(2)
    for _ in range(5):
        active, candidate = rng.random((2, 60)) < 0.7
        expected = mcnemar_worse(active, candidate)
        assert bundled_losses(active, candidate, np.arange(60)) == pytest.approx(expected, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=8))
def test_bundled_losses_are_the_share_of_all_signs(changes: list[tuple[bool, int]]) -> None:
    def squares(signs: tuple[int, ...]) -> int:
        net = {group: 0 for _, group in changes}
        for sign, (_, group) in zip(signs, changes, strict=True):
            net[group] += sign
        return sum(max(0, value) ** 2 for value in net.values())

    given_ = tuple(1 if is_loss else -1 for is_loss, _ in changes)
    signs = list(product((-1, 1), repeat=len(changes)))
    share = sum(squares(some) >= squares(given_) for some in signs) / len(signs)
    active = np.array([is_loss for is_loss, _ in changes])
    groups = np.array([group for _, group in changes])
    assert bundled_losses(active, ~active, groups) == pytest.approx(share, abs=0.025)


def test_losses_of_a_few_groups_count_though_others_gain_as_much() -> None:
    groups = np.repeat(np.arange(40), 10)
    active, candidate = np.ones(400, bool), np.ones(400, bool)
    candidate[groups < 3] = False
    active[::10] = candidate[::10] = True
    active[1::13] = active[2::13] = False
    assert mcnemar_worse(active, candidate) > 0.5
    assert bundled_losses(active, candidate, groups) < 0.001


def test_losses_of_thousands_of_groups_take_no_memory_for_each_pair_of_a_sentence_and_a_group() -> None:
    n = 3000
    groups, active = np.arange(n), np.arange(n) % 2 == 0
    tracemalloc.start()
    p_value = bundled_losses(active, ~active, groups)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert p_value == pytest.approx(mcnemar_worse(active, ~active), abs=0.02)
    assert peak < 8 * n * n


def test_of_no_changes_none_are_losses() -> None:
    same = np.array([True, False, True])
    assert bundled_losses(same, same, np.array([0, 0, 1])) == 1.0
