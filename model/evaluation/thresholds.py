"""The rules that choose a threshold on the out-of-scope score."""

import numpy as np
from numpy.typing import NDArray

from model.config import ThresholdRule
from model.errors import ConfigError

_ANSWERED = 0.9
"""Share of the right answers that are given where nothing tells how near strangers come."""


def choose_threshold(
    rule: ThresholdRule,
    rightly: NDArray[np.float64],
    strangers: NDArray[np.float64],
    *,
    n_in_scope: int,
    false_accept_target: float,
) -> float:
    """The threshold by a rule; a score that reaches it is answered.

    Args:
        rule: Which.
        rightly: Scores of in-scope sentences whose best group is the true one.
        strangers: Scores of out-of-scope sentences.
        n_in_scope: In-scope sentences in all.
        false_accept_target: Largest share of the strangers that may be answered, for that rule; without strangers no
            rule can be kept, and `balanced_threshold` says what is done.
    """
    if rule is ThresholdRule.BALANCED or not len(strangers):
        return balanced_threshold(rightly, strangers, n_in_scope)
    return false_accept_threshold(strangers, false_accept_target)


def balanced_threshold(rightly: NDArray[np.float64], strangers: NDArray[np.float64], n_in_scope: int) -> float:
    """Where as large a share of the in-scope sentences is answered rightly as of the strangers is refused.

    Where both shares are highest together is hardly higher, and falls elsewhere with every other hundred strangers.

    Args:
        rightly: Scores of in-scope sentences whose best group is the true one.
        strangers: Scores of out-of-scope sentences.
        n_in_scope: In-scope sentences in all, at least as many as `rightly`.

    Returns:
        The middle of a gap between two scores; of equally good gaps the middle one. Without strangers, what at
        least nine in ten of the right answers reach.
    """
    if len(rightly) and not len(strangers):
        return max(-1.0, float(np.quantile(rightly, 1 - _ANSWERED, method="lower")))
    values = np.unique(np.concatenate([rightly, strangers]))
    if not len(values):
        return 0.0
    cuts = np.concatenate([[values[0] - 1e-3], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-3]])
    answered = (len(rightly) - np.searchsorted(np.sort(rightly), cuts)) / max(1, n_in_scope)
    refused = np.searchsorted(np.sort(strangers), cuts) / max(1, len(strangers))
    apart = np.abs(answered - refused) if len(rightly) and len(strangers) else -answered - refused
    nearest = np.flatnonzero(apart == apart.min())
    return max(-1.0, float(cuts[nearest[len(nearest) // 2]]))


def false_accept_threshold(strangers: NDArray[np.float64], target: float) -> float:
    """The smallest threshold that answers at most `target` of the strangers.

    Strangers that share a score are answered or refused together: where answering them all would be too many, none is.

    Raises:
        ConfigError: The target is no share.
    """
    if not 0 <= target <= 1:
        raise ConfigError(f"false_accept_target {target} must be a share from 0 to 1")
    allowed = int(np.floor(target * len(strangers) + 1e-9))  # a share such as 0.29 of 100 is not exact in binary
    if allowed >= len(strangers):
        return -1.0
    first_refused = np.sort(strangers)[::-1][allowed]
    return max(-1.0, float(np.nextafter(first_refused, np.inf)))
