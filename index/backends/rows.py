"""What the back ends share: immutable rows in order of record id, and the checks of a search."""

from abc import ABC, abstractmethod
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from index.backends.filters import PreparedFilters, RowFilter, RowMask, allowed_rows
from index.checks import check_rows, check_search
from index.errors import InvalidIdError, InvalidVectorError
from index.interface import IndexReader
from index.milvus_kinds import MilvusSpec
from index.spec import IndexSpec
from index.types import Allowed, Ids, Neighbours, Vectors

_COMPARED: Final = 10_000
"""Rows compared at once: the first that differ end it."""


class RowIds:
    """Which record each row of an index is. Nothing changes them: any number of threads may read.

    Attributes:
        record_ids: (n,) int64, strictly ascending; of coded changes in any order, so that `find` is not for them.
    """

    def __init__(self, record_ids: Ids) -> None:
        self.record_ids = record_ids

    def __len__(self) -> int:
        return len(self.record_ids)

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


class Rows(RowIds):
    """Vectors with their record ids.

    Attributes:
        vectors: (n, dim) float32, unit rows; may be memory-mapped.
    """

    def __init__(self, record_ids: Ids, vectors: Vectors) -> None:
        super().__init__(record_ids)
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

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def begin_with(self, others: "Rows") -> bool:
        """Whether the first of these rows are the others, ids and vectors."""
        n = len(others)
        if n > len(self) or not np.array_equal(self.record_ids[:n], others.record_ids):
            return False
        parts = (slice(start, min(start + _COMPARED, n)) for start in range(0, n, _COMPARED))
        return all(np.array_equal(self.vectors[part], others.vectors[part]) for part in parts)


class FrozenIndex(IndexReader, Protocol):
    """An index that never changes: what `build` returns, snapshots hold and LiveIndex lays changes over."""

    @property
    def rows(self) -> RowIds: ...

    @property
    def is_remote(self) -> bool:
        """Whether its vectors are on a server: searches wait for it, and none can be looked at in passing."""
        ...

    @property
    def spec(self) -> IndexSpec | MilvusSpec:
        """What was built, its parameters as tuned."""
        ...

    @property
    def index_recall(self) -> float:
        """index_recall@10 measured at build time, on other queries than those it was tuned with; 1 when exact."""
        ...

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """Vectors of some rows.

        Args:
            rows: (m,) int64 positions, each once.

        Returns:
            (m, dim) float32 copies.

        Raises:
            IndexServerError: They are on a server that is away, or has lost them.
        """
        ...

    def same_at(self, rows: NDArray[np.int64], vectors: Vectors) -> NDArray[np.bool_]:
        """Which of some rows are known to have these very vectors; never asks a server.

        Args:
            rows: (m,) int64 positions.
            vectors: (m, dim) float32.

        Returns:
            (m,) bool.
        """
        ...

    def filter_rows(self, mask: RowMask) -> RowFilter:
        """Prepare a mask over `rows` for `search_rows`."""
        ...

    def filter_allowed(self, allowed: Allowed, live: RowFilter | None) -> RowFilter:
        """Prepare a mask over record ids for `search_rows`, together with the rows that are not dead; None means all.

        The work is done once for the very same array, and again in part when `live` is another filter.
        """
        ...

    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """As `search`, of arguments that were checked, among the filter's rows; None means all."""
        ...

    def code(self, rows: Rows, before: "FrozenIndex | None") -> "FrozenIndex | None":
        """Index other rows by what was learned for these.

        Args:
            rows: Their ids may be in any order, and there more than once.
            before: What an earlier call returned for the first of them; only the others are work then.

        Returns:
            With the parameters of these rows, and a recall that nobody has measured; None where nothing was learned.
        """
        ...


class CheckedIndex(ABC):
    """What all back ends share: the checks of a search and the mask over rows."""

    def __init__(self, row_ids: RowIds) -> None:
        self._row_ids = row_ids
        self._prepared = PreparedFilters()

    @property
    @abstractmethod
    def dim(self) -> int:
        """Numbers of a vector."""

    def __len__(self) -> int:
        return len(self._row_ids)

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Neighbours:
        """See IndexReader."""
        queries = check_search(queries, k, allowed, self.dim)
        return self.search_rows(queries, k, None if allowed is None else self.filter_allowed(allowed, None))

    def filter_rows(self, mask: RowMask) -> RowFilter:
        """See FrozenIndex."""
        return RowFilter(mask)

    def filter_allowed(self, allowed: Allowed, live: RowFilter | None) -> RowFilter:
        """See FrozenIndex."""
        # `make` goes along with each call: kept there, it would keep a replaced index until Python looks for cycles.
        return self._prepared.of(
            allowed, live, lambda new: self.filter_rows(allowed_rows(self._row_ids.record_ids, new))
        )

    def code(self, rows: Rows, before: FrozenIndex | None) -> FrozenIndex | None:
        """See FrozenIndex."""
        return None

    @abstractmethod
    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """See FrozenIndex."""


class RowIndex(CheckedIndex):
    """What the in-memory back ends share: their rows, which they hold themselves."""

    is_remote = False
    spec: IndexSpec

    def __init__(self, rows: Rows) -> None:
        super().__init__(rows)
        self.rows = rows

    @property
    def dim(self) -> int:
        return self.rows.dim

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """See FrozenIndex."""
        return self.rows.vectors[rows]

    def same_at(self, rows: NDArray[np.int64], vectors: Vectors) -> NDArray[np.bool_]:
        """See FrozenIndex."""
        same: NDArray[np.bool_] = (self.rows.vectors[rows] == vectors).all(axis=1)
        return same
