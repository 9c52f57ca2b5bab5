"""Postings: for every term the rows that have it, in files that are mapped into memory and never read whole."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.serving.terms import GROUPS, AnyOf, Condition, Filter, group_of

Rows: TypeAlias = NDArray[np.int32]

_TERMS: Final = "terms.npy"
"""uint8: the terms, sorted, one after the other."""
_TERM_STARTS: Final = "term_starts.npy"
"""int64 (n_terms + 1,): where each begins, and the end of the last."""
_POSTINGS: Final = "postings.npy"
"""int32: the rows of the first term, rising, then those of the next."""
_POSTING_STARTS: Final = "posting_starts.npy"
"""int64 (n_terms + 1,): where those of each term begin, and the end of the last."""


def write_postings(folder: Path, terms_of_rows: Iterable[list[bytes]]) -> list[str]:
    """Write the postings of rows 0 to n - 1, each given by its terms, each of which it names once.

    Needs memory for every distinct term (some 150 bytes) and eight bytes for each posting.

    Returns:
        The names of the files, which are not fsynced yet.
    """
    numbers: defaultdict[bytes, int] = defaultdict(count().__next__)
    """Every term's number, in order of appearance."""
    lengths, found = array("i"), array("i")
    for terms in terms_of_rows:
        lengths.append(len(terms))
        found.extend(map(numbers.__getitem__, terms))
    ordered = sorted(numbers)
    ranks = np.empty(len(ordered), np.int32)
    ranks[np.fromiter(map(numbers.__getitem__, ordered), np.int32, len(ordered))] = np.arange(len(ordered))
    numbers.clear()
    posted = ranks[np.frombuffer(found, np.int32)]
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), np.frombuffer(lengths, np.int32))
    arrays: dict[str, NDArray[Any]] = {
        _TERMS: np.frombuffer(b"".join(ordered), np.uint8),
        _TERM_STARTS: _starts(np.fromiter(map(len, ordered), np.int64, len(ordered))),
        _POSTINGS: rows[np.argsort(posted, kind="stable")],
        _POSTING_STARTS: _starts(np.bincount(posted, minlength=len(ordered))),
    }
    for name, values in arrays.items():
        np.save(folder / name, values)
    return list(arrays)


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


class Postings:
    """The postings in a folder. Immutable; any thread may ask. Whether the files are sound is the manifest's matter."""

    def __init__(self, folder: Path) -> None:
        # a memoryview gives Python's own numbers and bytes, several times faster than an array does
        self._terms = _mapped(folder / _TERMS).data
        self._term_starts = _mapped(folder / _TERM_STARTS).data
        self._posting_starts = _mapped(folder / _POSTING_STARTS).data
        self._postings: Rows = _mapped(folder / _POSTINGS)

    @property
    def n_terms(self) -> int:
        """How many different terms the rows have."""
        return len(self._term_starts) - 1

    @property
    def n_groups(self) -> int:
        """How many groups the rows are in."""
        return len(self._term_range(GROUPS.low, GROUPS.high))

    def groups(self) -> Iterator[str]:
        """Their names, sorted."""
        return (group_of(self._term(number)) for number in self._term_range(GROUPS.low, GROUPS.high))

    def count(self, term: bytes) -> int:
        """How many rows have the term."""
        return len(self._rows_with(term))

    def rows_of(self, condition: Condition) -> list[Rows]:
        """The rows that meet a condition, in parts; a row may be there several times."""
        if isinstance(condition, AnyOf):
            return [self._rows_with(term) for term in sorted(condition.terms)]
        return [self._rows_in(self._term_range(condition.low, condition.high))]

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
        number = self._first_from(term)
        there = number < self.n_terms and self._term(number) == term
        return self._rows_in(range(number, number + there))

    def _rows_in(self, numbers: range) -> Rows:
        """The rows of terms that lie side by side."""
        starts = self._posting_starts
        return self._postings[starts[numbers.start] : starts[numbers.stop]]

    def _term_range(self, low: bytes, high: bytes) -> range:
        first = self._first_from(low)
        return range(first, max(first, self._first_from(high)))

    def _first_from(self, term: bytes) -> int:
        """The number of the first term that is not below this one."""
        return bisect_left(range(self.n_terms), term, key=self._term)

    def _term(self, number: int) -> bytes:
        return bytes(self._terms[self._term_starts[number] : self._term_starts[number + 1]])


def _mapped(path: Path) -> NDArray[Any]:
    """The array in a file, as a plain view of the mapped bytes: numpy's own class for these is slow to slice."""
    return np.asarray(np.load(path, mmap_mode="r"))
