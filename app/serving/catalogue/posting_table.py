"""For every term the rows that have it, as four arrays: collected from rows, moved, merged, written and mapped."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_TERMS: Final = "terms.npy"
_TERM_STARTS: Final = "term_starts.npy"
_ROWS: Final = "postings.npy"
_ROW_STARTS: Final = "posting_starts.npy"


class PostingTable:
    """Immutable.

    Attributes:
        terms: uint8, the terms, sorted, one after the other.
        term_starts: (n_terms + 1,) int64, where each begins, and the end of the last.
        rows: int32, the rows of the first term, rising, then those of the next.
        row_starts: (n_terms + 1,) int64, where those of each term begin, and the end of the last.
    """

    def __init__(
        self,
        terms: NDArray[np.uint8],
        term_starts: NDArray[np.int64],
        rows: NDArray[np.int32],
        row_starts: NDArray[np.int64],
    ) -> None:
        self.terms, self.term_starts, self.rows, self.row_starts = terms, term_starts, rows, row_starts
        # a memoryview gives Python's own numbers and bytes, several times faster than an array does
        self._bytes, self._starts, self._row_starts = terms.data, term_starts.data, row_starts.data

    def __len__(self) -> int:
        """How many terms there are."""
        return len(self._starts) - 1

    def term(self, number: int) -> bytes:
        """One of the terms."""
        return bytes(self._bytes[self._starts[number] : self._starts[number + 1]])

    def first_from(self, term: bytes) -> int:
        """The number of the first term that is not below this one."""
        return bisect_left(range(len(self)), term, key=self.term)

    def rows_in(self, numbers: range) -> NDArray[np.int32]:
        """The rows of terms that lie side by side."""
        return self.rows[self._row_starts[numbers.start] : self._row_starts[numbers.stop]]

    def moved(self, to: NDArray[np.int64]) -> "PostingTable":
        """The table after its rows have moved; terms that no row has any more are gone.

        Args:
            to: (n_rows,) int64, where each row went, in the order they were in; -1 where it is gone.
        """
        rows = to[self.rows]
        stays = rows >= 0
        sizes = np.diff(_starts(stays)[self.row_starts])
        lengths, used = np.diff(self.term_starts), sizes > 0
        terms = self.terms[np.repeat(used, lengths)]
        return PostingTable(terms, _starts(lengths[used]), rows[stays].astype(np.int32), _starts(sizes[used]))

    def merged(self, other: "PostingTable") -> "PostingTable":
        """The table of both, which have no row in common; costs a search for each term of the other."""
        terms = [other.term(number) for number in range(len(other))]
        at = np.array([self.first_from(term) for term in terms], np.int64)
        is_new = np.array([self._is_new(*each) for each in zip(at.tolist(), terms, strict=True)], np.bool_)
        inserted = at[is_new]
        numbers = np.arange(len(self)) + np.searchsorted(inserted, np.arange(len(self)), side="right")
        of_other = np.empty(len(other), np.int64)
        of_other[is_new] = inserted + np.arange(len(inserted))
        of_other[~is_new] = numbers[at[~is_new]]

        lengths, sizes = np.zeros((2, len(self) + len(inserted)), np.int64)
        for table, placed in ((other, of_other), (self, numbers)):
            lengths[placed] = np.diff(table.term_starts)
            sizes[placed] += np.diff(table.row_starts)
        lengths_new = np.diff(other.term_starts)[is_new]
        bytes_new = other.terms[np.repeat(is_new, np.diff(other.term_starts))]
        all_terms = np.insert(self.terms, np.repeat(self.term_starts[inserted], lengths_new), bytes_new)
        rows = _merged_rows((self, numbers), (other, of_other))
        return PostingTable(all_terms, _starts(lengths), rows, _starts(sizes))

    def save(self, folder: Path) -> list[str]:
        """Write it.

        Returns:
            The names of the files, which are not fsynced yet.
        """
        arrays: dict[str, NDArray[Any]] = {
            _TERMS: self.terms,
            _TERM_STARTS: self.term_starts,
            _ROWS: self.rows,
            _ROW_STARTS: self.row_starts,
        }
        for name, values in arrays.items():
            np.save(folder / name, values)
        return list(arrays)

    @classmethod
    def load(cls, folder: Path) -> "PostingTable":
        """Map what `save` has written; whether the files are sound is the manifest's matter."""
        return cls(*(_mapped(folder / name) for name in (_TERMS, _TERM_STARTS, _ROWS, _ROW_STARTS)))

    def _is_new(self, at: int, term: bytes) -> bool:
        return at == len(self) or self.term(at) != term


def collect(terms_of_rows: Iterable[list[bytes]]) -> PostingTable:
    """The table of rows 0 to n - 1, each given by its terms, each of which it names once.

    Needs memory for every distinct term (some 150 bytes) and eight bytes for each row of a term.
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
    return PostingTable(
        np.frombuffer(b"".join(ordered), np.uint8),
        _starts(np.fromiter(map(len, ordered), np.int64, len(ordered))),
        rows[np.argsort(posted, kind="stable")],
        _starts(np.bincount(posted, minlength=len(ordered))),
    )


def _merged_rows(*tables: tuple[PostingTable, NDArray[np.int64]]) -> NDArray[np.int32]:
    """The rows of tables whose terms have these numbers, by term, rising."""
    width = 1 + max((int(table.rows.max()) for table, _ in tables if len(table.rows)), default=0)
    keys = [np.repeat(numbers, np.diff(table.row_starts)) * width + table.rows for table, numbers in tables]
    # each is sorted already, and a stable sort of two sorted runs is one pass
    return np.asarray(np.sort(np.concatenate(keys), kind="stable") % width, np.int32)


def _starts(lengths: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _mapped(path: Path) -> NDArray[Any]:
    """The array in a file, as a plain view of the mapped bytes: numpy's own class for these is slow to slice."""
    return np.asarray(np.load(path, mmap_mode="r"))
