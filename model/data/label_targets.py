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
    def likely(self) -> NDArray[np.bool_]:
        """(n, n_labels) whether a label applies more likely than not."""
        return self.values >= 0.5


def label_targets(rows: Sequence[Row], labels: Sequence[str]) -> LabelTargets:
    """The labels of rows; names that are not among `labels` are left out."""
    positions = {label: position for position, label in enumerate(labels)}
    values = np.zeros((len(rows), len(labels)), np.float32)
    known = np.ones(values.shape, np.bool_)
    for number, row in enumerate(rows):
        for label, weight in [*((label, 1.0) for label in row.labels), *row.label_weights.items()]:
            if label in positions:
                values[number, positions[label]] = weight
        known[number, [positions[label] for label in row.unknown_labels if label in positions]] = False
    return LabelTargets(values, known)
