"""Priors: relative weights, what stands for groups not named, and what is refused."""

import math

import pytest

from model.contract.deciding.prior import Prior


def test_only_ratios_count() -> None:
    counts, shares = Prior.of({"a": 300, "b": 100}), Prior.of({"a": 0.75, "b": 0.25})
    for prior in (counts, shares):
        assert prior.log_weight("a") - prior.log_weight("b") == pytest.approx(math.log(3))


def test_a_group_that_is_not_named_counts_as_the_rarest_that_occurs() -> None:
    prior = Prior.of({"a": 10, "b": 2, "never": 0})
    assert prior.log_weight("other") == prior.log_weight("b")
    assert (prior.allows("other"), prior.allows("never")) == (True, False)
    assert prior.log_weight("never") == -math.inf


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": -1, "b": 1}, "the weight -1 of group 'a' must be a number from 0 up"),
        ({"a": math.nan, "b": 1}, "the weight nan of group 'a'"),
        ({"a": 1, "b": math.inf}, "the weight inf of group 'b'"),
        ({"a": 0, "b": 0}, "all weights are 0"),
        ({"a": 5}, "only 'a' is named"),
        ({}, "no group is named"),
    ],
)
def test_unusable_weights_are_named(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prior.of(weights)
