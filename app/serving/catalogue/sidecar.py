"""What a snapshot holds beside the vectors: the entry of each row, and the rows of each group and metadata value."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from app.serving.catalogue.entry import Entry
from app.serving.catalogue.entry_file import BYTES, OFFSETS, EntryFile, EntryWriter, Packed
from app.serving.catalogue.posting_table import PostingTable
from app.serving.catalogue.postings import Postings
from app.serving.catalogue.terms import GROUPS, Filter, group_term, metadata_terms
from index.types import Ids

T = TypeVar("T")


class Sidecar:
    """The entries of a snapshot, where they lie on the disk. Nothing changes them: any thread may read.

    Args:
        folder: Of the snapshot.
        record_ids: (n,) int64, ascending, of its rows.
    """

    def __init__(self, folder: Path, record_ids: Ids) -> None:
        self._record_ids = record_ids
        self._entries = EntryFile(folder)
        self._postings = Postings(PostingTable.load(folder))
        if len(self._entries) != len(record_ids):
            raise ValueError(f"{len(self._entries)} entries for {len(record_ids)} records")

    def __len__(self) -> int:
        return len(self._record_ids)

    @property
    def record_ids(self) -> Ids:
        """(n,) int64, ascending."""
        return self._record_ids

    def get(self, rows: Iterable[int]) -> list[Entry]:
        """The entries of some rows, each of which there is."""
        return self._entries.get(rows)

    def packed(self, rows: NDArray[np.int64]) -> Packed:
        """The entries of some rows as they stand in the files."""
        return self._entries.packed(rows)

    def find(self, record_ids: NDArray[np.int64]) -> list[Entry | None]:
        """The entries of some records, None where there is none."""
        return self._read(record_ids, lambda rows: self.get(rows.tolist()))

    def groups_of(self, record_ids: NDArray[np.int64]) -> list[str | None]:
        """The groups of some records, None where there is none."""
        return self._read(record_ids, self._entries.groups)

    @property
    def postings(self) -> PostingTable:
        """The rows of each term."""
        return self._postings.table

    def mask(self, wanted: Filter) -> NDArray[np.bool_]:
        """(n,) bool, the rows that a filter lets through."""
        return self._postings.mask(wanted, len(self))

    def group_size(self, group: str) -> int:
        """How many rows are in a group."""
        return self._postings.count(group_term(group))

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return self._postings.n_groups

    @property
    def groups(self) -> Iterator[str]:
        """Every group, in order."""
        return self._postings.groups()

    def _read(
        self, record_ids: NDArray[np.int64], of_rows: Callable[[NDArray[np.int64]], Sequence[T | None]]
    ) -> list[T | None]:
        """What the row of each record has, None where there is none."""
        found: list[T | None] = [None] * len(record_ids)
        if not len(self):
            return found
        rows = np.searchsorted(self._record_ids, record_ids)
        rows[rows == len(self)] = 0
        here = np.flatnonzero(self._record_ids[rows] == record_ids)  # of an import hardly any: nothing is read for it
        for position, value in zip(here.tolist(), of_rows(rows[here]), strict=True):
            found[position] = value
        return found


def write_sidecar(folder: Path, chunks: Iterable[Packed], postings: PostingTable) -> list[str]:
    """Write the sidecar of a snapshot.

    Args:
        folder: Of the snapshot.
        chunks: The entries, in the order of the rows.
        postings: Theirs.

    Returns:
        The names of the files.
    """
    with closing(EntryWriter(folder)) as entries:
        for chunk in chunks:
            entries.append(chunk)
        entries.finish()
    return [BYTES, OFFSETS, *postings.save(folder)]


def terms_of(packed: Packed) -> Iterator[list[bytes]]:
    """The terms of each entry, most of which have a group alone: they need not be made objects for that."""
    data = packed.data
    ends: NDArray[np.int64] = np.cumsum(packed.lengths).reshape(packed.lengths.shape)
    for _, text, group, metadata in ends.tolist():
        terms = [GROUPS.low + data[text:group]] if group > text else []
        if metadata > group:
            terms += metadata_terms(orjson.loads(data[group:metadata]))
        yield terms
