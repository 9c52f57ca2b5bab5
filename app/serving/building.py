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

from app.serving.entry import Entry
from app.serving.entry_file import EntryFile
from app.serving.sidecar import write_sidecar
from app.serving.spool import SpooledRows
from index.backends.rows import Rows
from index.errors import VectorIndexError
from index.factory import build
from index.snapshot import Snapshot, load_snapshot, save_snapshot, snapshot_folder
from index.spec import choose_spec

_NICENESS: Final = 19
_ENTRIES_AT_ONCE: Final = 10_000


def build_snapshot(spool: Path) -> Path:
    """Build the snapshot that a spool orders.

    Returns:
        Its folder.

    Raises:
        OSError: The disk refused.
        VectorIndexError: The base cannot be read, or the rows are wrong.
    """
    spooled = SpooledRows(spool)
    order, merged = spooled.order, _Merged(spooled)
    spec = choose_spec(len(merged.record_ids), order.dim, order.target_recall)
    snapshot = Snapshot(
        index=build(merged.record_ids, merged.vectors, spec),
        encoder_checksum=order.encoder_checksum,
        applied_seq=order.applied_seq,
        tag=order.tag,
    )
    folder = snapshot_folder(Path(order.snapshots), order.applied_seq)
    save_snapshot(folder, snapshot, lambda draft: write_sidecar(draft, merged.entries()))
    return folder


class _Merged:
    """The rows of a base that are live still, and those of the spool, in order of record_id."""

    def __init__(self, spooled: SpooledRows) -> None:
        self._spooled = spooled.entries
        self._base: EntryFile | None = None
        rows, kept = Rows(np.empty(0, np.int64), np.empty((0, spooled.order.dim), np.float32)), np.empty(0, np.int64)
        if spooled.order.base is not None:
            folder = Path(spooled.order.base)
            self._base = EntryFile(folder)
            rows = load_snapshot(
                folder, encoder_checksum=spooled.order.encoder_checksum, dim=spooled.order.dim
            ).index.rows
            live = spooled.base_live
            kept = np.arange(len(rows)) if live is None else np.flatnonzero(live)
        ids = np.concatenate([rows.record_ids[kept], spooled.record_ids])
        order = np.argsort(ids, kind="stable")
        self.record_ids = ids[order]
        self.vectors = np.concatenate([rows.vectors[kept], spooled.vectors])[order]
        # where each row's entry is: rows of the base as they are, rows of the spool counted on from there
        self._n_base = len(rows)
        self._sources = np.concatenate([kept, len(rows) + np.arange(len(spooled.record_ids))])[order]

    def entries(self) -> Iterator[list[Entry]]:
        """The entry of each row, some at a time."""
        for start in range(0, len(self._sources), _ENTRIES_AT_ONCE):
            yield self._read(self._sources[start : start + _ENTRIES_AT_ONCE])

    def _read(self, sources: NDArray[np.int64]) -> list[Entry]:
        of_spool = sources >= self._n_base
        base = iter(self._base.get(sources[~of_spool].tolist())) if self._base is not None else iter(())
        spool = iter(self._spooled.get((sources[of_spool] - self._n_base).tolist()))
        return [next(spool) if is_new else next(base) for is_new in of_spool.tolist()]


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.read(): Python could not end while that holds its lock
        pass
    os._exit(1)


def main() -> None:
    """Build what the argument names, and print the snapshot's folder."""
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    try:
        print(build_snapshot(Path(sys.argv[1])))
    except (OSError, VectorIndexError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
