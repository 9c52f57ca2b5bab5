"""Which labels rows have, as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.contract.dataset import Row


@dataclass(frozen=True, slots=True)
class LabelTargets:
    """Labels of n rows.

    Attributes:
        values: (n, n_labels) float32, 1 where a label holds, 0 where not, between where it is soft.
        known: (n, n_labels) bool, False where nobody knows.
    """

    values: NDArray[np.float32]
    known: NDArray[np.bool_]

    @property
    def holds(self) -> NDArray[np.bool_]:
        """(n, n_labels) bool."""
        return self.values > 0.5


def label_targets(rows: Sequence[Row], labels: Sequence[str]) -> LabelTargets:
    """The labels of rows; names that are not among `labels` are left out."""
    positions = {label: position for position, label in enumerate(labels)}
    values = np.zeros((len(rows), len(labels)), np.float32)
    known = np.ones(values.shape, np.bool_)
    for number, row in enumerate(rows):
        for label in row.labels:
            if label in positions:
                values[number, positions[label]] = 1
    return LabelTargets(values, known)
