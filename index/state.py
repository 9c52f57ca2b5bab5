"""What readers of a LiveIndex see: a base, the changes since, and nothing that ever changes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.backends.exact import search_exact
from index.backends.filters import RowFilter, RowMask, allowed_rows
from index.backends.rows import FrozenIndex
from index.checks import check_search
from index.milvus_kinds import MilvusSpec
from index.ranking import merge
from index.spec import IndexSpec
from index.types import Allowed, Ids, Neighbours, Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats:
    """What a LiveIndex consists of at one moment.

    Attributes:
        count: Live records.
        base: Rows of the base, dead ones included.
        delta: Rows added since, dead ones included.
        tombstones: Dead rows of both.
        spec: What the base is, its parameters as tuned.
        index_recall: The base's, as measured when it was built.
        applied_seq: Every change up to here has been applied.
        base_seq: The base alone is complete up to here.
    """

    count: int
    base: int
    delta: int
    tombstones: int
    spec: IndexSpec | MilvusSpec
    index_recall: float
    applied_seq: int
    base_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """One moment of a LiveIndex. A reader takes one reference and needs no lock.

    Attributes:
        base: The index that was built last.
        base_seq: The sequence number up to which `base` alone is complete.
        base_live: Rows of the base that were neither deleted nor replaced since; None when all are.
        delta_ids: (m,) int64 record ids of the rows added since, in order of arrival.
        delta_vectors: (m, dim) float32, theirs.
        delta_live: (m,) bool, the added rows that were neither deleted nor replaced since; None when all are.
        coded: An index of the first of them, where there are many; the others are searched exactly.
        coded_live: Those of its rows that are live; None when all are.
        count: Live records.
        applied_seq: The sequence number up to which every change is in here.
    """

    base: FrozenIndex
    base_seq: int
    base_live: RowFilter | None
    delta_ids: Ids
    delta_vectors: Vectors
    delta_live: RowMask | None
    coded: FrozenIndex | None
    coded_live: RowFilter | None
    count: int
    applied_seq: int

    @property
    def tombstones(self) -> int:
        """Rows, of the base and of the delta, that are kept but no longer live."""
        return len(self.base) + len(self.delta_ids) - self.count

    @property
    def changes(self) -> int:
        """Rows that a search has to work around: added ones, and dead ones of the base."""
        return len(self.delta_ids) + (0 if self.base_live is None else len(self.base) - self.base_live.count)

    def search(self, queries: Vectors, k: int, allowed: Allowed | None) -> Neighbours:
        """See IndexReader."""
        if self.base_live is None and not len(self.delta_ids):
            return self.base.search(queries, k, allowed)
        queries = check_search(queries, k, allowed, self.base.dim)
        parts = [self.base.search_rows(queries, k, self._base_filter(allowed))]
        if len(self.delta_ids):
            parts += self._search_delta(queries, k, allowed)
        return merge(parts, k) if len(parts) > 1 else parts[0]

    def stats(self) -> IndexStats:
        """The counts, and what the base is."""
        return IndexStats(
            count=self.count,
            base=len(self.base),
            delta=len(self.delta_ids),
            tombstones=self.tombstones,
            spec=self.base.spec,
            index_recall=self.base.index_recall,
            applied_seq=self.applied_seq,
            base_seq=self.base_seq,
        )

    def vectors_of(self, record_ids: Ids) -> Vectors:
        """Vectors of live records.

        Args:
            record_ids: (n,) int64, all live.

        Returns:
            (n, dim) float32 copies.

        Raises:
            IndexServerError: See FrozenIndex.vectors_at.
        """
        live = np.arange(len(self.delta_ids)) if self.delta_live is None else np.flatnonzero(self.delta_live)
        live = live[np.argsort(self.delta_ids[live])]
        at = np.searchsorted(self.delta_ids[live], record_ids)
        added = np.isin(record_ids, self.delta_ids[live])
        vectors = np.empty((len(record_ids), self.base.dim), dtype=np.float32)
        vectors[added] = self.delta_vectors[live[at[added]]]
        if not added.all():
            vectors[~added] = self.base.vectors_at(self.base.rows.find(record_ids[~added]))
        return vectors

    def are_here(self, record_ids: Ids) -> NDArray[np.bool_]:
        """Which records have vectors that no server need be asked for, if they live; (n,) bool."""
        if not self.base.is_remote:
            return np.ones(len(record_ids), np.bool_)
        live = self.delta_ids if self.delta_live is None else self.delta_ids[self.delta_live]
        return np.isin(record_ids, live)

    def changes_since(self, earlier: "LiveState") -> tuple[Ids, Vectors, Ids]:
        """What led here from an earlier state over the same base.

        Returns:
            (n,) int64 ids and (n, dim) float32 vectors of records added or replaced, and (m,) int64 ids of those that
            lived then and do not live in the same row now.
        """
        known = len(earlier.delta_ids)
        fresh: slice | RowMask = slice(None) if self.delta_live is None else self.delta_live[known:]
        dead_of_base = _died(_mask_of(earlier.base_live), _mask_of(self.base_live))
        dead_of_delta = _died(earlier.delta_live, None if self.delta_live is None else self.delta_live[:known])
        dead = np.concatenate([self.base.rows.record_ids[dead_of_base], earlier.delta_ids[dead_of_delta]])
        return self.delta_ids[known:][fresh], self.delta_vectors[known:][fresh], dead

    def _base_filter(self, allowed: Allowed | None) -> RowFilter | None:
        return self.base_live if allowed is None else self.base.filter_allowed(allowed, self.base_live)

    def _search_delta(self, queries: Vectors, k: int, allowed: Allowed | None) -> Iterator[Neighbours]:
        mask, n_coded = self._delta_mask(allowed), 0
        if self.coded is not None:
            n_coded = len(self.coded)
            only = self.coded_live if allowed is None or mask is None else self.coded.filter_rows(mask[:n_coded])
            yield self.coded.search_rows(queries, k, only)
        if n_coded < len(self.delta_ids):
            rest = None if mask is None else mask[n_coded:]
            yield search_exact(queries, self.delta_ids[n_coded:], self.delta_vectors[n_coded:], k, rest)

    def _delta_mask(self, allowed: Allowed | None) -> RowMask | None:
        if allowed is None:
            return self.delta_live
        mask = allowed_rows(self.delta_ids, allowed)
        return mask if self.delta_live is None else mask & self.delta_live


def _mask_of(live: RowFilter | None) -> RowMask | None:
    return None if live is None else live.mask


def _died(before: RowMask | None, after: RowMask | None) -> NDArray[np.intp]:
    """Positions that lived and do no more; None means that all live."""
    if after is None:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(~after if before is None else before & ~after)
