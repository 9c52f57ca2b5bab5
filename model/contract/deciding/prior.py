"""How often each group is asked for where the answers are used: the prior that a client may give."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prior:
    """Relative frequencies of groups, as logarithms.

    A group that is not named counts as much as the rarest of those that are and that do occur: whoever lists what is
    asked for leaves out the rare, and naming more groups with that weight changes nothing.

    Attributes:
        log_weights: Of the groups named, -inf for one that never occurs.
        log_unnamed: Of all others.
    """

    log_weights: Mapping[str, float]
    log_unnamed: float

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> "Prior":
        """From weights in any unit: counts, shares or percentages.

        Raises:
            ValueError: See `check_weights`.
        """
        check_weights(weights)
        logs = {group: math.log(weight) if weight else -math.inf for group, weight in weights.items()}
        return cls(logs, math.log(min(weight for weight in weights.values() if weight > 0)))

    def log_weight(self, group: str) -> float:
        """Of one group."""
        return self.log_weights.get(group, self.log_unnamed)

    def allows(self, group: str) -> bool:
        """Whether the group occurs at all."""
        return self.log_weight(group) > -math.inf


def check_weights(weights: Mapping[str, float]) -> None:
    """Refuse what makes no prior.

    Raises:
        ValueError: A weight is negative or no number, all are 0, or only one group is named.
    """
    if not weights:
        raise ValueError("no group is named: leave the prior out")
    for group, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight {weight} of group {group!r} must be a number from 0 up")
    if not any(weights.values()):
        raise ValueError("all weights are 0: give at least one group a weight above 0")
    if len(weights) == 1:
        raise ValueError(f"only {next(iter(weights))!r} is named: weights compare groups, name another one too")
