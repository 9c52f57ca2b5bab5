"""The rules that choose a threshold on the out-of-scope score."""

import numpy as np
from numpy.typing import NDArray

from model.config import ThresholdRule
from model.errors import ConfigError


def choose_threshold(
    rule: ThresholdRule,
    rightly: NDArray[np.float64],
    strangers: NDArray[np.float64],
    *,
    false_accept_target: float,
) -> float:
    """The threshold by a rule; a score that reaches it is answered.

    Args:
        rule: Which.
        rightly: Scores of in-scope sentences whose best group is the true one.
        strangers: Scores of out-of-scope sentences.
        false_accept_target: Largest share of the strangers that may be answered, for that rule.
    """
    if rule is ThresholdRule.BALANCED:
        return balanced_threshold(rightly, strangers)
    return false_accept_threshold(strangers, false_accept_target)


def balanced_threshold(rightly: NDArray[np.float64], strangers: NDArray[np.float64]) -> float:
    """Where the share of `rightly` answered and the share of strangers refused are highest together.

    Of equally good gaps between two scores the middle one, and of it the middle.
    """
    values = np.unique(np.concatenate([rightly, strangers]))
    if not len(values):
        return 0.0
    cuts = np.concatenate([[values[0] - 1e-3], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-3]])
    answered = (len(rightly) - np.searchsorted(np.sort(rightly), cuts)) / max(1, len(rightly))
    refused = np.searchsorted(np.sort(strangers), cuts) / max(1, len(strangers))
    balanced = answered + refused
    top = np.flatnonzero(balanced == balanced.max())
    return max(-1.0, float(cuts[top[len(top) // 2]]))


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
