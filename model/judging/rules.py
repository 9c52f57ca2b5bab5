"""What came of each rule of the gate."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.config import GateRules, Metric
from model.judging.statistics import (
    LEAST_DRAWN,
    better_than_chance,
    bootstrap_worse,
    bundled_losses,
    holm,
    least_chance,
    worse_by_more,
)

_MEND: Final = "look in the report at what it takes for what, mend those sentences and train again"


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric of both, sentence by sentence.

    Attributes:
        active, candidate: (n,) float64 in [0, 1]; 0 or 1 where `is_share`.
        tolerance: Loss that counts as none.
        groups: (n,) number of each sentence's group, where losses in some groups count whatever others gain.
    """

    name: Metric
    active: NDArray[np.float64]
    candidate: NDArray[np.float64]
    is_share: bool = True
    tolerance: float = 0.0
    groups: NDArray[np.int64] | None = None

    @property
    def p_value(self) -> float:
        """Of the candidate being worse."""
        if self.groups is not None:
            return bundled_losses(self.active > 0, self.candidate > 0, self.groups)
        if self.is_share:
            return worse_by_more(self.active > 0, self.candidate > 0, self.tolerance)
        return bootstrap_worse(self.active, self.candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutcome:
    """What came of a rule: figures, and a sentence with the remedy where it failed."""

    name: str
    passed: bool
    candidate: float | None = None
    active: float | None = None
    difference: float | None = None
    p_value: float | None = None
    n: int | None = None
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def apply_paired(measures: Sequence[Measure], rules: GateRules) -> list[RuleOutcome]:
    """Not worse, by a paired test of each metric, all of them together at `alpha`."""
    measures = [measure for measure in measures if len(measure.active)]
    p_values: dict[str, float] = {measure.name: measure.p_value for measure in measures}
    worse = holm(p_values, rules.alpha)
    return [_paired(measure, p_values[measure.name], is_worse=measure.name in worse) for measure in measures]


def apply_bounds(measures: Sequence[Measure], rules: GateRules) -> list[RuleOutcome]:
    """The most that a metric may fall, and the least that it must reach; those that cannot be measured here pass."""
    outcomes = []
    for measure in measures:
        if not len(measure.active):
            continue
        most, least = rules.max_drop.get(measure.name), rules.least.get(measure.name)
        active, candidate = _means(measure)
        if most is not None:
            failure = f"{measure.name} fell by {active - candidate:.4f}, more than max_drop {most}: {_MEND}."
            outcomes.append(_bound("max_drop", measure, failure, passed=active - candidate <= most))
        if least is not None:
            failure = f"{measure.name} is {candidate:.4f}, less than least {least}: {_MEND}."
            outcomes.append(_bound("least", measure, failure, passed=candidate >= least))
    return outcomes


def apply_above_chance(given: NDArray[np.int64], true: NDArray[np.int64], rules: GateRules) -> list[RuleOutcome]:
    """Groups that have to do with the true ones: those of labels given at random have not.

    Args:
        given, true: (n,) numbers, from 0 on, of the nearest sentence's group and of the right one.

    Returns:
        Nothing where the rule is off, or not even right answers could well be told from chance.
    """
    if not rules.above_chance or not len(true) or least_chance(true) > rules.alpha / 2:
        return []
    p_value = better_than_chance(given, true)
    right = float(np.mean(given == true))
    by_chance = _by_chance(given, true)
    failure = (
        f"the nearest sentence has the right group in {right:.4f} of the cases, by chance it would in {by_chance:.4f}: "
        "look at the groups of the records, they look as if given at random."
    )
    passed = p_value <= max(rules.alpha, LEAST_DRAWN)  # below that no answers could pass
    outcome = RuleOutcome(
        name="above_chance",
        passed=passed,
        candidate=right,
        active=by_chance,
        difference=right - by_chance,
        p_value=p_value,
        n=len(true),
        detail="" if passed else failure,
    )
    return [outcome]


def apply_calibration(active: float, candidate: float, rules: GateRules) -> list[RuleOutcome]:
    """The calibration error does not rise more than it may."""
    if rules.max_ece_rise is None:
        return []
    passed = candidate - active <= rules.max_ece_rise
    failure = (
        f"the calibration error rose from {active:.4f} to {candidate:.4f}, more than max_ece_rise "
        f"{rules.max_ece_rise}: add sentences, of which some are held out to fit the confidence, or allow more."
    )
    outcome = RuleOutcome(
        name="max_ece_rise",
        passed=passed,
        candidate=candidate,
        active=active,
        difference=candidate - active,
        detail="" if passed else failure,
    )
    return [outcome]


def _by_chance(given: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """The share that would be right were the answers dealt out anew: over groups, the product of both their shares."""
    n_groups = int(max(given.max(), true.max())) + 1
    shares = (np.bincount(numbers, minlength=n_groups) / len(numbers) for numbers in (given, true))
    return float(np.dot(*shares))


def _paired(measure: Measure, p_value: float, *, is_worse: bool) -> RuleOutcome:
    active, candidate = _means(measure)
    change = f"{measure.name} fell from {active:.4f} to {candidate:.4f}"
    if measure.groups is not None:
        change = (
            f"{measure.name} fell in some groups by more than chance, from {active:.4f} to {candidate:.4f} over all,"
        )
    failure = f"{change} on {len(measure.active)} kept-out sentences (p {p_value:.2g}): {_MEND}."
    return RuleOutcome(
        name=f"not_worse.{measure.name}",
        passed=not is_worse,
        candidate=candidate,
        active=active,
        difference=candidate - active,
        p_value=p_value,
        n=len(measure.active),
        detail=failure if is_worse else "",
    )


def _bound(rule: str, measure: Measure, failure: str, *, passed: bool) -> RuleOutcome:
    active, candidate = _means(measure)
    return RuleOutcome(
        name=f"{rule}.{measure.name}",
        passed=passed,
        candidate=candidate,
        active=active,
        difference=candidate - active,
        n=len(measure.active),
        detail="" if passed else failure,
    )


def _means(measure: Measure) -> tuple[float, float]:
    return float(measure.active.mean()), float(measure.candidate.mean())
