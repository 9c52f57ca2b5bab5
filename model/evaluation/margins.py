"""The margin between the best two groups below which an answer is ambiguous: for how often matched ones are right."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_MARGIN: Final = 2.0
"""Of a difference of cosines: with it no answer is matched that has a runner-up."""


def choose_margin(gaps: NDArray[np.float64], right: NDArray[np.bool_], target: float) -> float:
    """The smallest margin with which at least `target` of the matched answers are right.

    Answers whose gap is as large share their fate. Where even the surest are right less often, all with a runner-up
    become ambiguous.

    Args:
        gaps: (n,) the best group's score less the runner-up's, of each answer that reaches the threshold; inf where
            there is none.
        right: (n,) whether the best group is the true one.
        target: In (0, 1).

    Returns:
        The middle between the gaps that are parted; 0 where all may be matched.
    """
    values = np.unique(-gaps)  # the largest gap first
    if not len(values):
        return 0.0
    order = np.argsort(-gaps, kind="stable")
    ends = np.append(np.searchsorted(np.sort(-gaps), values[1:]), len(gaps))
    precision = np.cumsum(right[order])[ends - 1] / ends
    kept = np.flatnonzero(precision >= target)
    if not len(kept):
        return MOST_MARGIN
    last = int(kept[-1])
    if last == len(values) - 1:
        return 0.0
    least, below = -values[last], -values[last + 1]
    return float(min(MOST_MARGIN, below + 1e-6 if np.isinf(least) else (least + below) / 2))
