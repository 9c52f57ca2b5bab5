"""The index that changes while it is searched: an immutable base, a small exact delta, tombstones, and compaction."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from index.backends.exact import ExactIndex
from index.backends.rows import FrozenIndex, Rows
from index.checks import check_ids, check_rows, check_vectors
from index.factory import build
from index.overlay import Overlay
from index.snapshot import Snapshot, load_snapshot, save_snapshot, snapshot_folder
from index.spec import IndexSpec, choose_spec
from index.state import IndexStats, LiveState
from index.types import Allowed, Ids, Neighbours, Vectors

COMPACT_ROWS: Final = 5_000
"""Changes up to which compaction never pays: an exact search of as many rows takes 0.1 ms."""

COMPACT_SHARE: Final = 0.1
"""Changes, as a share of the base, from which a large index is compacted."""


@dataclass(frozen=True, slots=True)
class _Change:
    """One call of `apply`, checked."""

    record_ids: Ids
    vectors: Vectors
    deleted_ids: Ids
    seq: int


class LiveIndex:
    """Reader and writer at once. Any number of threads search; changes come from one.

    Changes take effect for searches that begin after the call returns, a whole batch at a time. Applying changes again,
    from any earlier sequence number on, leads to the same answers.

    Args:
        base: Where to start from.
        applied_seq: The sequence number up to which `base` is complete.
        choose: From number of records and dim to what `compact` builds.
    """

    def __init__(
        self, base: FrozenIndex, *, applied_seq: int = 0, choose: Callable[[int, int], IndexSpec] = choose_spec
    ) -> None:
        self._choose = choose
        self._overlay = Overlay(base, applied_seq)
        # Readers take this reference and nothing else. Writers replace it, holding _writing.
        self._state = self._overlay.state
        # Guards _overlay, _journal and the replacing of _state. There is one writer by contract; the lock keeps a
        # second one, and the end of a compaction, from interleaving with it. No search ever waits for it.
        self._writing = threading.Lock()
        # Held through a whole compaction, so that there is one at a time. Taken before _writing, never after.
        self._compacting = threading.Lock()
        self._journal: list[_Change] | None = None  # changes since the compaction that is running took its rows

    @classmethod
    def empty(cls, dim: int, *, choose: Callable[[int, int], IndexSpec] = choose_spec) -> "LiveIndex":
        """An index of no records, at sequence number 0."""
        return cls(ExactIndex(Rows.sorted(np.empty(0, np.int64), np.empty((0, dim), np.float32))), choose=choose)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        encoder_checksum: str,
        dim: int,
        choose: Callable[[int, int], IndexSpec] = choose_spec,
        search_threads: int = 1,
    ) -> "LiveIndex":
        """Start from a snapshot folder; see `load_snapshot` for what it raises."""
        snapshot = load_snapshot(folder, encoder_checksum=encoder_checksum, dim=dim, search_threads=search_threads)
        return cls(snapshot.index, applied_seq=snapshot.applied_seq, choose=choose)

    @property
    def dim(self) -> int:
        return self._state.base.dim

    def __len__(self) -> int:
        return self._state.count

    @property
    def applied_seq(self) -> int:
        """See IndexWriter."""
        return self._state.applied_seq

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Neighbours:
        """See IndexReader."""
        return self._state.search(queries, k, allowed)

    def upsert(self, record_ids: ArrayLike, vectors: Vectors, seq: int) -> None:
        """See IndexWriter. Of an id that is there twice, the last vector counts."""
        self.apply(record_ids, vectors, (), seq)

    def delete(self, record_ids: ArrayLike, seq: int) -> None:
        """See IndexWriter."""
        self.apply((), np.empty((0, self.dim), np.float32), record_ids, seq)

    def apply(self, record_ids: ArrayLike, vectors: Vectors, deleted_ids: ArrayLike, seq: int) -> None:
        """Apply a batch of the change log: readers see all of it or nothing, and so does a snapshot.

        A batch that both adds and removes must come here: after `upsert(..., seq)` alone, the index holds itself
        complete up to `seq`, and a snapshot taken before the `delete` that belongs to it would lose that.

        Args:
            record_ids: (n,) int64 records to add or replace; of an id that is there twice, the last vector counts.
            vectors: (n, dim) float32, unit rows, theirs.
            deleted_ids: (m,) int64 records to remove; absent ones, and those in `record_ids`, are ignored.
            seq: The last change of the batch; everything up to it has been applied after this call.

        Raises:
            InvalidInputError: Naming the wrong vector or id; nothing was changed.
        """
        ids, rows = check_rows(record_ids, vectors, self.dim)
        kept = _last_of_each(ids)
        deleted = np.setdiff1d(check_ids(deleted_ids), ids)
        change = _Change(ids[kept], rows[kept], deleted, seq)
        with self._writing:
            if self._journal is not None:
                self._journal.append(change)
            self._state = _replay(self._overlay, change)

    @property
    def should_compact(self) -> bool:
        """Whether the changes since the base slow searches down enough for a new one. Nothing compacts by itself."""
        return self._state.changes > max(COMPACT_ROWS, int(COMPACT_SHARE * len(self._state.base)))

    def compact(self, *, queries: Vectors | None = None, build_threads: int = 1, search_threads: int = 1) -> None:
        """Build a new base from the live records and put it in the old one's place.

        Searches and changes go on meanwhile; changes made during the build are applied to the new base before it takes
        over. A second compaction waits for the first.

        Args:
            queries: (m, dim) float32 typical queries to tune with; None makes some from the vectors.
            build_threads: OpenMP threads of the training.
            search_threads: OpenMP threads of each later search.
        """
        if queries is not None:
            queries = check_vectors(queries, self.dim)
        with self._compacting:
            with self._writing:
                before = self._state
                self._journal = []
            try:
                spec = self._choose(before.count, before.base.dim)
                base = build(
                    *before.live_rows(),
                    spec,
                    queries=queries,
                    build_threads=build_threads,
                    search_threads=search_threads,
                )
                self._take_over(base, before.applied_seq)
            finally:
                with self._writing:
                    self._journal = None

    def stats(self) -> IndexStats:
        """What the index consists of now."""
        return self._state.stats()

    def record_ids(self) -> Ids:
        """A copy of the ids of the live records at one moment: (n,) int64, ascending."""
        return self._state.live_ids()

    def vectors_and_ids(self) -> tuple[Vectors, Ids]:
        """Copies of the live records at one moment: (n, dim) float32 and (n,) int64, ids ascending."""
        ids, vectors = self._state.live_rows()
        return vectors, ids

    def vectors_of(self, record_ids: ArrayLike) -> tuple[NDArray[np.bool_], Vectors]:
        """Vectors of live records; waits for the writer, not for a compaction.

        Args:
            record_ids: (n,) int64.

        Returns:
            (n,) bool, whether the record lives; (n, dim) float32 copies, zeros where it does not.
        """
        ids = check_ids(record_ids)
        with self._writing:
            return self._overlay.vectors_of(ids)

    def save(self, parent: Path, *, encoder_checksum: str) -> Path:
        """Save a snapshot under `parent`, in the folder named by its sequence number; compacts first if need be.

        Only the base is saved: a change that arrives meanwhile is in the next snapshot, and the follower reads it again
        from the change log after a restart.

        Returns:
            The folder. Where it exists already, whole, nothing is written.

        Raises:
            WrongEncoderError: The folder exists and is of another encoder.
            OSError: The disk refused; the snapshots before this one are as they were.
        """
        if self._state.changes:
            self.compact()
        state = self._state
        # Changes that cancelled out (a record added and deleted again) leave a base that is complete further on.
        seq = state.base_seq if state.changes else state.applied_seq
        snapshot = Snapshot(index=state.base, encoder_checksum=encoder_checksum, applied_seq=seq)
        folder = snapshot_folder(parent, seq)
        save_snapshot(folder, snapshot)
        return folder

    def _take_over(self, base: FrozenIndex, seq: int) -> None:
        overlay = Overlay(base, seq)
        with self._writing:
            for change in self._journal or ():
                _replay(overlay, change)
            self._overlay = overlay
            self._state = overlay.state


def _replay(overlay: Overlay, change: _Change) -> LiveState:
    return overlay.apply(change.record_ids, change.vectors, change.deleted_ids, change.seq)


def _last_of_each(record_ids: Ids) -> NDArray[np.int64]:
    """Positions of the last of each id, in order."""
    _, from_the_end = np.unique(record_ids[::-1], return_index=True)
    return np.sort(len(record_ids) - 1 - from_the_end)
