"""The least confidences of labels: left at 0.5, or chosen on held-out sentences."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.config import LabelThresholdRule

FEWEST_POSITIVES: Final = 20
"""Held-out sentences that a label needs for a threshold of its own; below, one sentence moves its F1 by points."""


def calibrate_labels(
    confidences: NDArray[np.floating],
    applies: NDArray[np.bool_],
    labels: Sequence[str],
    rule: LabelThresholdRule,
    *,
    known: NDArray[np.bool_] | None = None,
) -> tuple[float, dict[str, float]]:
    """Choose thresholds on held-out sentences.

    Args:
        confidences: (n, n_labels) in [0, 1].
        applies: (n, n_labels) the truth.
        labels: Names of the columns.
        rule: How.
        known: (n, n_labels) where the truth is known; everywhere, if not given.

    Returns:
        `label_threshold` and `label_thresholds` of the decision parameters.
    """
    if rule is LabelThresholdRule.ZERO:
        return 0.5, {}
    seen = np.ones_like(applies) if known is None else known
    of_all = best_f1_threshold(confidences[seen], applies[seen])
    if rule is LabelThresholdRule.GLOBAL:
        return of_all, {}
    single = {}
    for column, label in enumerate(labels):
        rows = seen[:, column]
        if applies[rows, column].sum() >= FEWEST_POSITIVES:
            single[label] = best_f1_threshold(confidences[rows, column], applies[rows, column])
    return of_all, single


def best_f1_threshold(confidences: NDArray[np.floating], applies: NDArray[np.bool_]) -> float:
    """The threshold of the highest F1, in the middle of its gap; of equally good ones that nearest to 0.5.

    Args:
        confidences: (n,) in [0, 1]; one that reaches the threshold is given.
        applies: (n,) the truth.
    """
    if not applies.any():
        return 0.5
    values, inverse = np.unique(confidences.astype(np.float64), return_inverse=True)
    n_at = np.bincount(inverse, minlength=len(values))
    hits_at = np.bincount(inverse, weights=applies, minlength=len(values))
    given, hits = np.cumsum(n_at[::-1])[::-1], np.cumsum(hits_at[::-1])[::-1]  # of the values from each one up
    f1 = 2 * hits / (given + applies.sum())
    below = np.concatenate([[0.0], values[:-1]])
    cuts = (below + values) / 2
    # 0.5 itself, where it lies in the gap, is as good as its middle
    cuts = np.where((below < 0.5) & (values >= 0.5), 0.5, cuts)
    top = np.flatnonzero(f1 == f1.max())
    return float(cuts[top[np.argmin(np.abs(cuts[top] - 0.5))]])
