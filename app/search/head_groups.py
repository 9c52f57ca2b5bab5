"""Which labels of a head are groups that have records now: not every label is looked at after each change."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.catalogue import GroupSizes


class HeadGroups:
    """The labels of one head among the groups of a collection. For one thread.

    Args:
        labels: Of the head, one a row.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._rows = {label: row for row, label in enumerate(labels)}
        self._groups: GroupSizes | None = None
        self._are_saved = np.zeros(len(labels), np.bool_)  # of the snapshot under those groups

    def rows(self, groups: GroupSizes) -> NDArray[np.int64]:
        """(n,) rows of the labels that have records, ascending."""
        if groups is not self._groups:
            self._are_saved = np.zeros(len(self._rows), np.bool_)
            self._mark(self._are_saved, ((group, True) for group in groups.saved))
            self._groups = groups
        are_there = self._are_saved.copy()
        self._mark(are_there, groups.changed.items())
        return np.flatnonzero(are_there)

    def _mark(self, are_there: NDArray[np.bool_], found: Iterable[tuple[str, bool]]) -> None:
        for group, is_there in found:
            row = self._rows.get(group)
            if row is not None:
                are_there[row] = is_there
