"""The index that changes while it is searched: an immutable base, a delta, tombstones, and a new base for the old."""

import threading
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from index.backends.exact import ExactIndex
from index.backends.rows import FrozenIndex, Rows
from index.checks import check_ids, check_rows, last_of_each
from index.overlay import Overlay
from index.state import IndexStats, LiveState
from index.types import Allowed, Neighbours, Vectors

COMPACT_ROWS: Final = 5_000
"""Changes up to which compaction never pays: they add 0.1 to 0.2 ms to a search."""

COMPACT_SHARE: Final = 0.05
"""Changes, as a share of the base, from which a large index is compacted."""


COMPACT_REMOTE_ROWS: Final = 50_000
"""Changes over a base on a server from which it is compacted at the latest: they are searched exactly, not coded; of
256 numbers, 1 ms beside the server's 5."""


class LiveIndex:
    """Reader and writer at once. Any number of threads search; changes come from one.

    Changes take effect for searches that begin after the call returns, a whole batch at a time. Applying changes again,
    from any earlier sequence number on, leads to the same answers.

    Args:
        base: Where to start from.
        applied_seq: The sequence number up to which `base` is complete.
    """

    def __init__(self, base: FrozenIndex, *, applied_seq: int = 0) -> None:
        self._overlay = Overlay(base, applied_seq)
        # Readers take this reference and nothing else. Writers replace it, holding _writing.
        self._state = self._overlay.state
        # Guards _overlay and the replacing of _state. There is one writer by contract; the lock keeps a second one, and
        # the end of a compaction, from interleaving with it. No search ever waits for it.
        self._writing = threading.Lock()

    @classmethod
    def empty(cls, dim: int) -> Self:
        """An index of no records, at sequence number 0."""
        return cls(ExactIndex(Rows.sorted(np.empty(0, np.int64), np.empty((0, dim), np.float32))))

    @property
    def state(self) -> LiveState:
        """The index as it is at this moment: searches of it see no later change."""
        return self._state

    @property
    def dim(self) -> int:
        return self._state.base.dim

    def __len__(self) -> int:
        return self._state.count

    @property
    def applied_seq(self) -> int:
        """The sequence number up to which every change has been applied."""
        return self._state.applied_seq

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Neighbours:
        """See IndexReader."""
        return self._state.search(queries, k, allowed)

    def upsert(self, record_ids: ArrayLike, vectors: Vectors, seq: int) -> None:
        """`apply` of a batch that removes nothing."""
        self.apply(record_ids, vectors, (), seq)

    def delete(self, record_ids: ArrayLike, seq: int) -> None:
        """`apply` of a batch that only removes."""
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
        kept = last_of_each(ids)
        deleted = np.setdiff1d(check_ids(deleted_ids), ids)
        with self._writing:
            self._state = self._overlay.apply(ids[kept], rows[kept], deleted, seq)

    def rebase(self, base: FrozenIndex, built_from: LiveState) -> None:
        """Put another base under the changes that came since it was built.

        Args:
            base: Holds the live records of `built_from`, and nothing else.
            built_from: An earlier state of this index, over the base that it has still.

        Raises:
            ValueError: The index has got another base since.
        """
        with self._writing:
            now = self._state
            if now.base is not built_from.base:
                raise ValueError("the index has another base now: build from its present state")
            overlay = Overlay(base, built_from.applied_seq)
            record_ids, vectors, dead = now.changes_since(built_from)
            self._state = overlay.apply(record_ids, vectors, np.setdiff1d(dead, record_ids), now.applied_seq)
            self._overlay = overlay

    def stats(self) -> IndexStats:
        """What the index consists of now."""
        return self._state.stats()


def is_worth_compacting(n_changes: int, n_base: int, *, is_remote: bool = False) -> bool:
    """Whether so many changes over a base of so many rows, here or on a server, are reason enough for a new one."""
    if is_remote and n_changes > COMPACT_REMOTE_ROWS:
        return True
    return n_changes > max(COMPACT_ROWS, int(COMPACT_SHARE * n_base))
