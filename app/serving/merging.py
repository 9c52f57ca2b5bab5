"""The rows of the next snapshot: those of the base that are live still, and those of the spool, in order."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.serving.entry_file import Packed
from app.serving.snapshots import Base
from app.serving.spool import SpooledRows
from index.types import Vectors

_AT_ONCE: Final = 10_000


class Merged:
    """The rows of a base that are live still, and those of the spool, in order of record_id.

    Args:
        spooled: The changed rows, and which of the base stay.
        base: The snapshot before; empty where there is none.
    """

    def __init__(self, spooled: SpooledRows, base: Base) -> None:
        self._spooled, self._base = spooled, base
        rows, live = base.index.rows, spooled.base_live
        kept = np.arange(len(rows)) if live is None else np.flatnonzero(live)
        ids = np.concatenate([rows.record_ids[kept], spooled.record_ids])
        order = np.argsort(ids, kind="stable")
        self.record_ids = ids[order]
        # where each row comes from: rows of the base as they are, rows of the spool counted on from there
        self._n_base = len(rows)
        self._sources = np.concatenate([kept, len(rows) + np.arange(len(spooled.record_ids))])[order]

    def write_vectors(self, into: Vectors) -> Vectors:
        """Gather the vectors of the rows in order.

        Args:
            into: (n, dim) float32, written to.

        Returns:
            `into`.

        Raises:
            IndexServerError: Those of the base are on a server that is away, or has lost them.
        """
        for part in self._parts():
            sources = self._sources[part]
            of_spool = sources >= self._n_base
            into[part][~of_spool] = self._base.index.vectors_at(sources[~of_spool])
            into[part][of_spool] = self._spooled.vectors[sources[of_spool] - self._n_base]
        return into

    def entries(self) -> Iterator[Packed]:
        """The entries of the rows in order, some at a time."""
        for part in self._parts():
            sources = self._sources[part]
            of_spool = sources >= self._n_base
            for run in np.split(sources, np.flatnonzero(of_spool[1:] != of_spool[:-1]) + 1):
                yield self._packed(run)

    def _parts(self) -> Iterator[slice]:
        for start in range(0, len(self._sources), _AT_ONCE):
            yield slice(start, start + _AT_ONCE)

    def _packed(self, run: NDArray[np.int64]) -> Packed:
        """Entries that all come from the base, or all from the spool."""
        if run[0] >= self._n_base:
            return self._spooled.entries.packed(run - self._n_base)
        assert self._base.sidecar is not None  # it has rows
        return self._base.sidecar.packed(run)
