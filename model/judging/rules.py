"""The rules of the gate, as settings, and what came of each."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import ConfigError
from model.judging.statistics import binomial_tail, bootstrap_worse, holm, mcnemar_worse

Share = Annotated[float, Field(ge=0, le=1)]
Metric = Literal["hit_rate@1", "accuracy", "out_of_scope_recall", "label_f1"]


class GateRules(BaseModel):
    """When a candidate may take over.

    Attributes:
        alpha: Chance that a candidate as good as what answers is refused by any of the paired tests together.
        max_drop: For single metrics, the most that a candidate may lose, however sure that is.
        least: For single metrics, the least that a candidate must reach.
        max_ece_rise: The most that the calibration error may rise; None does not look at it.
        above_chance: Whether groups must be told apart better than by naming the largest one always.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    max_drop: dict[Metric, Share] = {}
    least: dict[Metric, Share] = {}
    max_ece_rise: float | None = Field(default=None, ge=0)
    above_chance: bool = True

    @classmethod
    def read(cls, values: Any) -> "GateRules":
        """The rules from settings, or ConfigError naming the wrong one."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(map(str, wrong["loc"])) or "rules"
            raise ConfigError(f"gate {name}: {wrong['msg']}; there are {', '.join(cls.model_fields)}") from None


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric of both, sentence by sentence.

    Attributes:
        active, candidate: (n,) float64 in [0, 1]; 0 or 1 where `is_share`.
    """

    name: str
    active: NDArray[np.float64]
    candidate: NDArray[np.float64]
    is_share: bool = True

    @property
    def p_value(self) -> float:
        """Of the candidate being worse."""
        if self.is_share:
            return mcnemar_worse(self.active > 0, self.candidate > 0)
        return bootstrap_worse(self.active, self.candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutcome:
    """What came of a rule: figures, and a sentence where it failed."""

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


def apply_paired(measures: list[Measure], rules: GateRules) -> list[RuleOutcome]:
    """Not worse, by a paired test of each metric, all of them together at `alpha`."""
    measures = [measure for measure in measures if len(measure.active)]
    p_values = {measure.name: measure.p_value for measure in measures}
    rejected = holm(p_values, rules.alpha)
    return [_paired(measure, p_values[measure.name], measure.name in rejected) for measure in measures]


def apply_bounds(measures: list[Measure], rules: GateRules) -> list[RuleOutcome]:
    """The most that a metric may fall, and the least that it must reach; those that cannot be measured here pass."""
    named = {measure.name: measure for measure in measures if len(measure.active)}
    outcomes = []
    for name, most in rules.max_drop.items():
        if name not in named:
            continue
        active, candidate = _means(named[name])
        detail = f"{name} fell by {active - candidate:.4f}, more than max_drop {most}."
        outcomes.append(_bound(f"max_drop.{name}", named[name], passed=active - candidate <= most, detail=detail))
    for name, least in rules.least.items():
        if name not in named:
            continue
        _, candidate = _means(named[name])
        detail = f"{name} is {candidate:.4f}, less than least {least}."
        outcomes.append(_bound(f"least.{name}", named[name], passed=candidate >= least, detail=detail))
    return outcomes


def apply_above_chance(measure: Measure, largest_share: float, rules: GateRules) -> RuleOutcome:
    """Better than naming the largest group always: what learned from labels at random is not."""
    n, right = len(measure.candidate), int(measure.candidate.sum())
    p_value = binomial_tail(right, n, largest_share)
    return RuleOutcome(
        name="above_chance",
        passed=p_value <= rules.alpha,
        candidate=right / n,
        active=largest_share,
        p_value=p_value,
        n=n,
        detail=f"{measure.name} {right / n:.4f} is no better than naming the largest group always "
        f"({largest_share:.4f}): look at the groups of the records, they look as if given at random.",
    )


def apply_calibration(active: float, candidate: float, rules: GateRules) -> list[RuleOutcome]:
    """The calibration error does not rise more than it may."""
    if rules.max_ece_rise is None:
        return []
    detail = f"the calibration error rose from {active:.4f} to {candidate:.4f}, more than {rules.max_ece_rise}."
    passed = candidate - active <= rules.max_ece_rise
    return [RuleOutcome(name="max_ece_rise", passed=passed, candidate=candidate, active=active, detail=detail)]


def _paired(measure: Measure, p_value: float, is_worse: bool) -> RuleOutcome:
    active, candidate = _means(measure)
    return RuleOutcome(
        name=f"not_worse.{measure.name}",
        passed=not is_worse,
        candidate=candidate,
        active=active,
        difference=candidate - active,
        p_value=p_value,
        n=len(measure.active),
        detail=f"{measure.name} fell from {active:.4f} to {candidate:.4f} on {len(measure.active)} kept-out sentences "
        f"(p {p_value:.2g}).",
    )


def _bound(name: str, measure: Measure, *, passed: bool, detail: str) -> RuleOutcome:
    active, candidate = _means(measure)
    figures = {"candidate": candidate, "active": active, "difference": candidate - active}
    return RuleOutcome(name=name, passed=passed, n=len(measure.active), detail=detail, **figures)


def _means(measure: Measure) -> tuple[float, float]:
    return float(measure.active.mean()), float(measure.candidate.mean())
