"""Postings: for every term the rows that have it; those of a snapshot are mapped into memory and never read whole."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.posting_table import PostingTable
from app.serving.catalogue.terms import GROUPS, AnyOf, Condition, Filter, group_of

Rows: TypeAlias = NDArray[np.int32]


class Postings:
    """What a table of postings answers. Immutable; any thread may ask.

    Args:
        table: The table.
    """

    def __init__(self, table: PostingTable) -> None:
        self.table = table

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
        number = self.table.first_from(term)
        there = number < self.n_terms and self.table.term(number) == term
        return len(self.table.rows_in(range(number, number + there)))

    def rows_of(self, condition: Condition) -> list[Rows]:
        """The rows that meet a condition, in parts; a row may be there several times."""
        if isinstance(condition, AnyOf):
            return [self.table.rows_in(range(number, number + 1)) for number in self._numbers_of(condition.terms)]
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

    def _numbers_of(self, terms: frozenset[bytes]) -> list[int]:
        """Of those terms that there are. Many are not looked for one by one: each takes as many steps as bits."""
        if len(terms) * self.n_terms.bit_length() > self.n_terms:
            return [number for number in range(self.n_terms) if self.table.term(number) in terms]
        found = ((term, self.table.first_from(term)) for term in sorted(terms))
        return [number for term, number in found if number < self.n_terms and self.table.term(number) == term]

    def _term_range(self, low: bytes, high: bytes) -> range:
        first = self.table.first_from(low)
        return range(first, max(first, self.table.first_from(high)))
