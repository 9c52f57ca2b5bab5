"""Metrics of sentences with any number of labels, and the truth that they are measured against."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.contract.dataset import Row
from model.data.label_targets import label_targets
from model.evaluation.metrics import expected_calibration_error


@dataclass(frozen=True, slots=True)
class LabelTruth:
    """Which labels apply to which sentences.

    Attributes:
        labels: Names of the columns.
        applies: (n, n_labels); a soft label applies from the weight 0.5 on.
        known: (n, n_labels); a label whose truth nobody knows has no part in any metric.
    """

    labels: tuple[str, ...]
    applies: NDArray[np.bool_]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Sequence[Row], labels: Sequence[str] = ()) -> "LabelTruth":
        """From rows of a file: these labels first, then those that only the rows have, by name."""
        more = {label for row in rows for label in (*row.labels, *row.label_weights, *row.unknown_labels)}
        columns = (*labels, *sorted(more - set(labels)))
        targets = label_targets(rows, columns)
        return cls(columns, targets.likely, targets.known)


def label_head_metrics(
    labels: Sequence[str], given: NDArray[np.float32], rows: Sequence[Row], thresholds: NDArray[np.float64]
) -> dict[str, float]:
    """Metrics of a label head, over its labels and those that only the rows have, which it never gives.

    Args:
        labels: Of the head.
        given: (n, n_labels) its confidences on the rows.
        rows: With their labels.
        thresholds: (n_labels,) least confidence of each label of the head.

    Returns:
        Those of `label_metrics`, and ece over all entries of the head's labels.
    """
    truth = LabelTruth.of(rows, labels)
    confidences = np.zeros(truth.applies.shape, np.float32)
    predicted = np.zeros_like(truth.applies)
    n_known = len(labels)
    confidences[:, :n_known] = given
    predicted[:, :n_known] = confidences[:, :n_known] >= thresholds
    seen = truth.known[:, :n_known]
    ece = expected_calibration_error(confidences[:, :n_known][seen], truth.applies[:, :n_known][seen])
    return {**label_metrics(confidences, predicted, truth), "ece": ece}


def label_metrics(
    confidences: NDArray[np.floating], predicted: NDArray[np.bool_], truth: LabelTruth
) -> dict[str, float]:
    """F1, exact match and ranking metrics.

    Args:
        confidences: (n, n_labels) by which labels are ranked.
        predicted: (n, n_labels) those that were given.
        truth: What is right; its unknown entries are left out.

    Returns:
        micro_f1 over all entries; macro_f1, a mean over the labels, 0 for one that is neither given nor true;
        exact_match, the share of sentences without any error; label_ranking_loss, the share of pairs of a true and an
        untrue label in the wrong order, ties wrong; label_ranking_average_precision.

    Source: Tsoumakas et al. 2010, Mining Multi-label Data, for the ranking metrics.
    """
    given, true = predicted & truth.known, truth.applies & truth.known
    hits, n_given, n_true = (given & true).sum(axis=0), given.sum(axis=0), true.sum(axis=0)
    ranked = list(_ranking(confidences, truth))
    return {
        "micro_f1": float(2 * hits.sum() / max(1, n_given.sum() + n_true.sum())),
        "macro_f1": float(np.mean(2 * hits / np.maximum(1, n_given + n_true))),
        "exact_match": float((given == true).all(axis=1).mean()),
        "label_ranking_loss": float(np.mean([loss for loss, _ in ranked])),
        "label_ranking_average_precision": float(np.mean([precision for _, precision in ranked])),
    }


def _ranking(confidences: NDArray[np.floating], truth: LabelTruth) -> Iterator[tuple[float, float]]:
    """Ranking loss and average precision of each sentence; 0 and 1 where all known labels are true, or none is."""
    for values, applies, known in zip(confidences, truth.applies, truth.known, strict=True):
        true, untrue = np.sort(values[applies & known]), np.sort(values[~applies & known])
        if not len(true) or not len(untrue):
            yield 0.0, 1.0
            continue
        untrue_above = len(untrue) - np.searchsorted(untrue, true, "left")  # of each true label, ties with it too
        true_above = len(true) - np.searchsorted(true, true, "left")
        precision = true_above / (true_above + untrue_above)
        yield float(untrue_above.sum() / (len(true) * len(untrue))), float(precision.mean())
