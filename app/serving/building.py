"""Building a snapshot from a spool: `python -m app.serving.building SPOOL`, a process that yields to the server.

It ends when its standard input does: a server that is killed leaves no builder behind.
"""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.priority import let_others_go_first
from app.serving.entry_file import Packed
from app.serving.sidecar import write_sidecar
from app.serving.snapshots import Base, empty_base, load_base
from app.serving.spool import BuildOrder, SpooledRows
from index.errors import VectorIndexError
from index.factory import build
from index.snapshot import Snapshot, save_snapshot, snapshot_folder
from index.spec import choose_spec

_NICENESS: Final = 10
"""On one processor kept busy by searches it gets a tenth: with 19, an index of 100,000 took three minutes."""

_AT_ONCE: Final = 10_000


def build_snapshot(spool: Path) -> Path:
    """Build the snapshot that a spool orders.

    Returns:
        Its folder.

    Raises:
        OSError: The disk refused.
        VectorIndexError: The base cannot be read, or the rows are wrong.
    """
    spooled = SpooledRows(spool)
    order = spooled.order
    base = _base_of(order)
    merged = _Merged(spooled, base)
    spec = choose_spec(len(merged.record_ids), order.dim, order.target_recall)
    snapshot = Snapshot(
        index=build(merged.record_ids, merged.vectors, spec, trained_from=base.index),
        encoder_checksum=order.encoder_checksum,
        applied_seq=order.applied_seq,
        known_seq=order.known_seq,
        tag=order.tag,
    )
    folder = snapshot_folder(Path(order.snapshots), order.applied_seq)
    save_snapshot(folder, snapshot, lambda draft: write_sidecar(draft, merged.entries()))
    return folder


def _base_of(order: BuildOrder) -> Base:
    if order.base is None:
        return empty_base(order.dim)
    return load_base(Path(order.base), encoder_checksum=order.encoder_checksum, dim=order.dim)


class _Merged:
    """The rows of a base that are live still, and those of the spool, in order of record_id."""

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
        self.vectors = np.empty((len(ids), spooled.order.dim), np.float32)
        for part in self._parts():
            sources = self._sources[part]
            of_spool = sources >= self._n_base
            self.vectors[part][~of_spool] = rows.vectors[sources[~of_spool]]
            self.vectors[part][of_spool] = spooled.vectors[sources[of_spool] - self._n_base]

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


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.read(): Python could not end while that holds its lock
        pass
    os._exit(1)


def main() -> None:
    """Build what the argument names, and print the snapshot's folder."""
    let_others_go_first(_NICENESS)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    try:
        print(build_snapshot(Path(sys.argv[1])))
    except (OSError, VectorIndexError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
