"""Postings: for every term the rows that have it, in files that are mapped into memory and never read whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.serving.posting_table import PostingTable
from app.serving.terms import GROUPS, AnyOf, Condition, Filter, group_of

Rows: TypeAlias = NDArray[np.int32]


class Postings:
    """The postings in a folder. Immutable; any thread may ask."""

    def __init__(self, folder: Path) -> None:
        self.table = PostingTable.load(folder)

    @property
    def n_terms(self) -> int:
        """How many different terms the rows have."""
        return len(self.table)

    @property
    def n_groups(self) -> int:
        """How many groups the rows are in."""
        return len(self._term_range(GROUPS.low, GROUPS.high))

    def groups(self) -> Iterator[str]:
        """Their names, sorted."""
        return (group_of(self.table.term(number)) for number in self._term_range(GROUPS.low, GROUPS.high))

    def count(self, term: bytes) -> int:
        """How many rows have the term."""
        return len(self._rows_with(term))

    def rows_of(self, condition: Condition) -> list[Rows]:
        """The rows that meet a condition, in parts; a row may be there several times."""
        if isinstance(condition, AnyOf):
            return [self._rows_with(term) for term in sorted(condition.terms)]
        return [self.table.rows_in(self._term_range(condition.low, condition.high))]

    def mask(self, wanted: Filter, n_rows: int) -> NDArray[np.bool_]:
        """(n_rows,) bool: which rows pass the filter."""
        passing = np.ones(n_rows, np.bool_)
        for condition in wanted.conditions:
            meeting = np.zeros(n_rows, np.bool_)
            for rows in self.rows_of(condition):
                meeting[rows] = True
            passing &= meeting
        return passing

    def _rows_with(self, term: bytes) -> Rows:
        number = self.table.first_from(term)
        there = number < self.n_terms and self.table.term(number) == term
        return self.table.rows_in(range(number, number + there))

    def _term_range(self, low: bytes, high: bytes) -> range:
        first = self.table.first_from(low)
        return range(first, max(first, self.table.first_from(high)))
