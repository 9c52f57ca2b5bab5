"""The rows of the next snapshot: those of the base that are live still, and those of the spool, in order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.entry_file import Packed
from app.serving.catalogue.posting_table import PostingTable, collect
from app.serving.catalogue.sidecar import terms_of
from app.serving.snapshots.base import Base
from app.serving.snapshots.spool import SpooledRows
from index.files import load_array, save_matrix
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

    def save_vectors(self, path: Path) -> Vectors:
        """Write the vectors of the rows, in order, to a file: they may be more than fits memory.

        Returns:
            (n, dim) float32, mapped from it.

        Raises:
            OSError: The disk refused.
            IndexServerError: Those of the base are on a server that is away, or has lost them.
        """
        save_matrix(path, self._vectors(), (len(self.record_ids), self._spooled.order.dim), np.float32)
        return load_array(path)

    def entries(self) -> Iterator[Packed]:
        """The entries of the rows in order, some at a time."""
        for part in self._parts():
            sources = self._sources[part]
            of_spool = sources >= self._n_base
            for run in np.split(sources, np.flatnonzero(of_spool[1:] != of_spool[:-1]) + 1):
                yield self._packed(run)

    def postings(self) -> PostingTable:
        """The postings of the rows: those of the base, moved, with what the spool adds."""
        of_spool = self._sources >= self._n_base
        added = collect(self._terms_of_spool(self._sources[of_spool] - self._n_base)).moved(np.flatnonzero(of_spool))
        if self._base.sidecar is None:
            return added
        to = np.full(self._n_base, -1, np.int64)
        to[self._sources[~of_spool]] = np.flatnonzero(~of_spool)
        return self._base.sidecar.postings.moved(to).merged(added)

    def _vectors(self) -> Iterator[Vectors]:
        for part in self._parts():
            sources = self._sources[part]
            of_spool = sources >= self._n_base
            vectors = np.empty((len(sources), self._spooled.order.dim), np.float32)
            vectors[~of_spool] = self._base.index.vectors_at(sources[~of_spool])
            vectors[of_spool] = self._spooled.vectors[sources[of_spool] - self._n_base]
            yield vectors

    def _terms_of_spool(self, rows: NDArray[np.int64]) -> Iterator[list[bytes]]:
        for start in range(0, len(rows), _AT_ONCE):
            yield from terms_of(self._spooled.entries.packed(rows[start : start + _AT_ONCE]))

    def _parts(self) -> Iterator[slice]:
        for start in range(0, len(self._sources), _AT_ONCE):
            yield slice(start, start + _AT_ONCE)

    def _packed(self, run: NDArray[np.int64]) -> Packed:
        """Entries that all come from the base, or all from the spool."""
        if run[0] >= self._n_base:
            return self._spooled.entries.packed(run - self._n_base)
        assert self._base.sidecar is not None  # it has rows
        return self._base.sidecar.packed(run)
