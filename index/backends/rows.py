"""What the in-memory back ends share: immutable rows in order of record id, and masks over them."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from index.checks import check_rows, check_search
from index.errors import InvalidIdError, InvalidVectorError
from index.interface import IndexReader
from index.spec import IndexSpec
from index.types import Allowed, Ids, Neighbours, Vectors

RowMask = NDArray[np.bool_]
"""(n_rows,) mask over the rows of one index: row r may be answered if `mask[r]`."""


class Rows:
    """Vectors with their record ids, ids ascending. Nothing changes them: any number of threads may read.

    Attributes:
        record_ids: (n,) int64, strictly ascending.
        vectors: (n, dim) float32, unit rows; may be memory-mapped.
    """

    def __init__(self, record_ids: Ids, vectors: Vectors) -> None:
        self.record_ids = record_ids
        self.vectors = vectors

    @classmethod
    def sorted(cls, record_ids: ArrayLike, vectors: Vectors) -> "Rows":
        """Check the rows and put them in order; arrays that are in order already are kept, not copied.

        Raises:
            InvalidInputError: A wrong vector, or an id that is negative or there twice.
        """
        if vectors.ndim != 2 or vectors.shape[1] < 1:
            raise InvalidVectorError(f"vectors have shape {vectors.shape}: give a matrix (n, dim), dim at least 1")
        ids, rows = check_rows(record_ids, vectors, vectors.shape[1])
        if not (ids[1:] > ids[:-1]).all():
            order = np.argsort(ids, kind="stable")
            ids, rows = ids[order], rows[order]
        twice = np.flatnonzero(ids[1:] == ids[:-1])
        if twice.size:
            raise InvalidIdError(f"record id {ids[twice[0]]} is there twice: give each record one vector")
        return cls(ids, rows)

    def __len__(self) -> int:
        return len(self.record_ids)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def find(self, record_ids: Ids) -> NDArray[np.int64]:
        """Positions of the records.

        Args:
            record_ids: (m,) int64.

        Returns:
            (m,) int64, -1 where the record is not here.
        """
        if not len(self):
            return np.full(len(record_ids), -1, dtype=np.int64)
        at = np.searchsorted(self.record_ids, record_ids)
        at[at == len(self)] = 0
        return np.where(self.record_ids[at] == record_ids, at, -1).astype(np.int64, copy=False)


class RowFilter:
    """The rows that a search may answer, and what back ends derive from them, once, when first needed.

    Threads may share one: each derived value is the same whichever thread computes it.
    """

    def __init__(self, mask: RowMask, row_lists: NDArray[np.int64] | None = None, nlist: int = 0) -> None:
        self.mask = mask
        self._row_lists = row_lists
        self._nlist = nlist

    @cached_property
    def count(self) -> int:
        return int(np.count_nonzero(self.mask))

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        """The mask as FAISS reads it: eight rows to a byte, lowest first."""
        return np.packbits(self.mask, bitorder="little")

    @cached_property
    def rows_per_list(self) -> NDArray[np.int64]:
        """Allowed rows of each list, for back ends that divide their rows into lists."""
        assert self._row_lists is not None
        return np.bincount(self._row_lists[self.mask], minlength=self._nlist)


class FrozenIndex(IndexReader, Protocol):
    """An index that never changes: what `build` returns, snapshots hold and LiveIndex lays changes over."""

    @property
    def rows(self) -> Rows: ...

    @property
    def spec(self) -> IndexSpec:
        """What was built, its parameters as tuned."""
        ...

    @property
    def index_recall(self) -> float:
        """index_recall@10 measured at build time, on other queries than those it was tuned with; 1 when exact."""
        ...

    def filter_rows(self, mask: RowMask) -> RowFilter:
        """Prepare a mask over `rows` for `search_rows`."""
        ...

    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """As `search`, of arguments that were checked, among the filter's rows; None means all."""
        ...


class RowIndex(ABC):
    """What the in-memory back ends share: their rows, the checks and the mask over rows."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @property
    def dim(self) -> int:
        return self.rows.dim

    def __len__(self) -> int:
        return len(self.rows)

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Neighbours:
        """See IndexReader."""
        queries = check_search(queries, k, allowed, self.dim)
        only = None if allowed is None else self.filter_rows(allowed_rows(self.rows.record_ids, allowed))
        return self.search_rows(queries, k, only)

    def filter_rows(self, mask: RowMask) -> RowFilter:
        """See FrozenIndex."""
        return RowFilter(mask)

    @abstractmethod
    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """See FrozenIndex."""


def allowed_rows(record_ids: Ids, allowed: Allowed) -> RowMask:
    """A mask over record ids, as a mask over rows.

    Args:
        record_ids: (n,) int64, in any order.
        allowed: (any length,) bool; ids past its end are not allowed.

    Returns:
        (n,) bool.
    """
    inside = record_ids < len(allowed)
    if inside.all():
        return allowed[record_ids]
    mask = np.zeros(len(record_ids), dtype=np.bool_)
    mask[inside] = allowed[record_ids[inside]]
    return mask
