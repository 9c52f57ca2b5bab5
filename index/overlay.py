"""The writer's side of a LiveIndex: turns each change into the next LiveState. One thread at a time."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.backends.filters import RowFilter
from index.backends.rows import FrozenIndex, Rows
from index.backends.tuning import code_rows
from index.state import LiveState
from index.types import Ids, Vectors

FIRST_CAPACITY: Final = 256
GROWTH: Final = 4
"""Rows the delta's buffer starts with; a full one is replaced by one for so many times as many. What is not written to
yet takes no memory.
"""

MOST_EXACT: Final = 2_048
"""Rows of the delta that are searched exactly, at most, where the base's codes fit them: of 256 numbers, 0.1 ms."""


class Overlay:
    """A base with the changes since.

    A state's delta is the first part of a buffer that is only ever appended to, past what any state shows; whatever
    does change (the masks) is copied first. So a state, once handed out, stays as it is.

    Args:
        base: The index that was built last.
        applied_seq: The sequence number up to which `base` is complete.
    """

    def __init__(self, base: FrozenIndex, applied_seq: int) -> None:
        self._ids = np.empty(0, dtype=np.int64)
        self._vectors = np.empty((0, base.dim), dtype=np.float32)
        self._misfit = 0  # up to so many rows the base's codes are known not to fit those of the delta
        self._delta_row: dict[int, int] = {}  # live records of the delta: record id -> row in it
        self.state = LiveState(
            base=base,
            base_seq=applied_seq,
            base_live=None,
            delta_ids=self._ids,
            delta_vectors=self._vectors,
            delta_live=None,
            coded=None,
            coded_live=None,
            count=len(base),
            applied_seq=applied_seq,
        )

    def apply(self, record_ids: Ids, vectors: Vectors, deleted_ids: Ids, seq: int) -> LiveState:
        """Add or replace some records and remove others, in one step.

        Args:
            record_ids: (n,) int64, each once.
            vectors: (n, dim) float32, theirs.
            deleted_ids: (m,) int64, each once, none of `record_ids`; absent ones are ignored.
            seq: The last change of this batch; an older one than before leaves `applied_seq` as it is.

        Returns:
            The state after it.
        """
        changed = ~self._holds(record_ids, vectors)
        if not changed.all():
            record_ids, vectors = record_ids[changed], vectors[changed]
        self._kill(np.concatenate([record_ids, deleted_ids]))
        self._append(record_ids, vectors)
        self.state = replace(
            self.state, applied_seq=max(self.state.applied_seq, seq), coded_live=self._filter_coded(self.state)
        )
        return self.state

    def find(self, record_ids: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where records live.

        Args:
            record_ids: (n,) int64.

        Returns:
            (n,) rows of the base and (n,) rows of the delta, each -1 where the record does not live there.
        """
        base, live = self.state.base, self.state.base_live
        in_base = base.rows.find(record_ids)
        if live is not None:
            in_base[~live.mask[in_base]] = -1
        if not self._delta_row:
            return in_base, np.full(len(record_ids), -1, dtype=np.int64)
        row = self._delta_row.get
        return in_base, np.array([row(i, -1) for i in record_ids.tolist()], dtype=np.int64)

    def _holds(self, record_ids: Ids, vectors: Vectors) -> NDArray[np.bool_]:
        """Which records live with this very vector: applying a change again must not grow the delta.

        Of a base on a server that is not known: there it grows it once.
        """
        in_base, in_delta = self.find(record_ids)
        same, of_base, of_delta = np.zeros(len(record_ids), np.bool_), in_base >= 0, in_delta >= 0
        same[of_base] = self.state.base.same_at(in_base[of_base], vectors[of_base])
        same[of_delta] = (self._vectors[in_delta[of_delta]] == vectors[of_delta]).all(axis=1)
        return same

    def _kill(self, record_ids: Ids) -> None:
        in_base, in_delta = self.find(record_ids)
        in_base, in_delta = in_base[in_base >= 0], in_delta[in_delta >= 0]
        state = self.state
        if len(in_base):
            state = replace(state, base_live=_without_base_rows(state, in_base))
        if len(in_delta):
            mask = np.ones(len(state.delta_ids), np.bool_) if state.delta_live is None else state.delta_live.copy()
            mask[in_delta] = False
            state = replace(state, delta_live=mask)
            for record_id in state.delta_ids[in_delta].tolist():
                del self._delta_row[record_id]
        self.state = replace(state, count=state.count - len(in_base) - len(in_delta))

    def _append(self, record_ids: Ids, vectors: Vectors) -> None:
        if not len(record_ids):
            return
        state = self.state
        start, end = len(state.delta_ids), len(state.delta_ids) + len(record_ids)
        if end > len(self._ids):
            self._grow(end)
        self._ids[start:end] = record_ids
        self._vectors[start:end] = vectors
        self._delta_row.update(zip(record_ids.tolist(), range(start, end), strict=True))
        live = state.delta_live
        self.state = replace(
            state,
            delta_ids=self._ids[:end],
            delta_vectors=self._vectors[:end],
            delta_live=None if live is None else np.concatenate([live, np.ones(end - start, np.bool_)]),
            coded=self._code(end),
            count=state.count + len(record_ids),
        )

    def _code(self, end: int) -> FrozenIndex | None:
        """The index of the first rows of the delta, with more of them where too many are left."""
        coded = self.state.coded
        n_coded = 0 if coded is None else len(coded)
        if end - n_coded > MOST_EXACT and end > self._misfit:
            n_coded = end
        elif coded is None or np.may_share_memory(coded.rows.record_ids, self._ids):
            return coded  # else the buffer has grown: the old one is let go of
        coded = code_rows(self.state.base, Rows(self._ids[:n_coded], self._vectors[:n_coded]), coded)
        self._misfit = 2 * end if coded is None else 0
        return coded

    def _filter_coded(self, state: LiveState) -> RowFilter | None:
        if state.coded is None or state.delta_live is None:
            return None
        return state.coded.filter_rows(state.delta_live[: len(state.coded)])

    def _grow(self, needed: int) -> None:
        # New buffers, not resized ones: states handed out still show the old ones.
        capacity = max(FIRST_CAPACITY, GROWTH * needed)
        used = len(self.state.delta_ids)
        ids, vectors = self._ids, self._vectors
        self._ids = np.empty(capacity, dtype=np.int64)
        self._vectors = np.empty((capacity, vectors.shape[1]), dtype=np.float32)
        self._ids[:used] = ids[:used]
        self._vectors[:used] = vectors[:used]


def _without_base_rows(state: LiveState, rows: NDArray[np.int64]) -> RowFilter:
    mask = np.ones(len(state.base), np.bool_) if state.base_live is None else state.base_live.mask.copy()
    mask[rows] = False
    return state.base.filter_rows(mask)
