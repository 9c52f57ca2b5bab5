"""From a view of a release, or from the database's rows, to the next snapshot on the disk."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.entry import Entry
from app.serving.index_server import IndexServer
from app.serving.release import View
from app.serving.release_key import ReleaseKey
from app.serving.snapshots.base import Base, BuildError, StaleReleaseError, load_base
from app.serving.snapshots.building import STALE, TOKEN_VARIABLE, build_snapshot
from app.serving.snapshots.spool import BuildOrder, Spool, spooling
from index.spec import Device, IndexKind, choose_spec
from model.contract.bundle import Bundle

Rows = tuple[NDArray[np.int64], NDArray[np.float32], list[Entry]]
"""(n,) int64 record_ids, (n, dim) float32 vectors, n entries."""

_PackedRows = tuple[NDArray[np.int64], NDArray[np.float32], list[bytes]]
"""The same, each entry packed."""

_AT_ONCE: Final = 10_000

_MOST_COMPLAINT: Final = 2000
_LOOK_S: Final = 0.1


class Compactor:
    """Writes snapshots of one release.

    Args:
        snapshots: Their folder.
        encoder_checksum: Of the release's encoder.
        dim: Of its vectors.
        target_recall: index_recall@10 to tune for.
        is_stopping: When it comes true, a build that runs is given up.
        device: Where the index is searched; it is built on the CPU.
        server: Where it goes if it is large; None keeps all here.
        collection_id: Whose it is.
    """

    def __init__(
        self,
        snapshots: Path,
        *,
        encoder_checksum: str,
        dim: int,
        target_recall: float,
        is_stopping: Callable[[], bool] = lambda: False,
        device: Device = Device.CPU,
        server: IndexServer | None = None,
        collection_id: int = 0,
    ) -> None:
        self._snapshots, self._is_stopping, self._device = snapshots, is_stopping, device
        self._server, self._collection_id = server, collection_id
        self._encoder_checksum, self._dim, self._target_recall = encoder_checksum, dim, target_recall

    def fold(self, view: View, *, in_haste: bool = False) -> Base:
        """Write the records of a view as one snapshot, and map it; takes as long as an index takes to build.

        Args:
            view: What is live in it.
            in_haste: See `BuildOrder`.

        Raises:
            OSError: The disk refused.
            StaleReleaseError: The base is damaged or another now, or there is another snapshot of the same change.
            BuildError: The building process ended without a snapshot.
            VectorIndexError: The base cannot be read.
        """
        return self._build(_changed_rows(view), view.applied_seq, view.known_seq, view.tag, view, in_haste=in_haste)

    def write(self, rows: Iterator[Rows], applied_seq: int, tag: int) -> Base:
        """Write rows as one snapshot, and map it; raises as `fold`, and what `rows` raises."""
        packed = ((ids, vectors, [entry.pack() for entry in entries]) for ids, vectors, entries in rows)
        return self._build(packed, applied_seq, applied_seq, tag, None)

    def _build(
        self,
        rows: Iterator[_PackedRows],
        applied_seq: int,
        known_seq: int,
        tag: int,
        view: View | None,
        *,
        in_haste: bool = False,
    ) -> Base:
        with spooling(self._snapshots) as spool:
            n = _fill(spool, rows)
            base = None if view is None else view.base
            order = BuildOrder(
                snapshots=str(self._snapshots),
                encoder_checksum=self._encoder_checksum,
                dim=self._dim,
                applied_seq=applied_seq,
                known_seq=known_seq,
                tag=tag,
                target_recall=self._target_recall,
                base=None if base is None or base.folder is None else str(base.folder),
                base_rows="" if base is None else base.rows,
                server=None if self._server is None else self._server.order(self._collection_id),
                in_haste=in_haste,
            )
            if view is None:
                spool.finish(order)
            else:
                changed, gone = view.catalogue.changed_ids()
                spool.finish(order, _kept_rows(view, np.concatenate([changed, gone])), gone)
            milvus = None if self._server is None else self._server.milvus
            n_rows = n if view is None else view.index.count
            if choose_spec(n_rows, self._dim).kind is IndexKind.EXACT:  # takes milliseconds
                folder = build_snapshot(spool.folder, milvus)
            else:
                token = "" if milvus is None else milvus.token
                folder = _build_apart(spool, self._is_stopping, {TOKEN_VARIABLE: token})
        return load_base(
            folder, encoder_checksum=self._encoder_checksum, dim=self._dim, device=self._device, server=milvus
        )


def compactor_of(
    key: ReleaseKey,
    bundle: Bundle,
    data: Path,
    target_recall: float,
    is_stopping: Callable[[], bool],
    *,
    device: Device,
    server: IndexServer | None,
) -> Compactor:
    """What writes the snapshots of a release."""
    return Compactor(
        key.folder(data),
        encoder_checksum=bundle.sha,
        dim=bundle.encoder.dim,
        target_recall=target_recall,
        is_stopping=is_stopping,
        device=device,
        server=server,
        collection_id=key.collection_id,
    )


def _fill(spool: Spool, rows: Iterator[_PackedRows]) -> int:
    n = 0
    for record_ids, vectors, packed in rows:
        spool.append(record_ids, vectors, packed)
        n += len(record_ids)
    return n


def _changed_rows(view: View) -> Iterator[_PackedRows]:
    """The records that are not in the base as they are now."""
    changes = view.catalogue.packed_changes()
    here = ((record_id, packed) for record_id, packed in changes.items() if packed is not None)
    while part := dict(islice(here, _AT_ONCE)):
        record_ids = np.fromiter(part, np.int64, len(part))
        yield record_ids, view.index.vectors_of(record_ids), list(part.values())


def _kept_rows(view: View, changed: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) bool, the rows of the base that are in the view as they are, which the changed records are not."""
    base, live = view.index.base, view.index.base_live
    kept = np.ones(len(base), np.bool_) if live is None else live.mask.copy()
    rows = base.rows.find(changed)
    kept[rows[rows >= 0]] = False
    return kept


def _build_apart(spool: Spool, is_stopping: Callable[[], bool], given: Mapping[str, str]) -> Path:
    """As `build_snapshot`, by a process of lower priority, which leaves searches alone."""
    command = [sys.executable, "-m", "app.serving.snapshots.building", str(spool.folder)]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    complaints = spool.folder / "complaints"
    with complaints.open("wb") as stderr:
        # a pipe as its standard input: it closes when we end, however we end, and the process with it
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            pass_fds=[spool.lock],
            text=True,
            env={**os.environ, **one_thread, **given},
        )
        with process:
            _wait(process, is_stopping)
            assert process.stdout is not None
            told = process.stdout.read()
    if process.returncode:
        complaint = complaints.read_text(errors="replace").strip()[-_MOST_COMPLAINT:]
        if process.returncode == STALE:
            raise StaleReleaseError(complaint)
        raise BuildError(f"the index could not be built (exit status {process.returncode}): {complaint}")
    return Path(told.strip())


def _wait(process: "subprocess.Popen[str]", is_stopping: Callable[[], bool]) -> None:
    while not is_stopping():
        try:
            process.wait(_LOOK_S)
            return
        except subprocess.TimeoutExpired:
            pass
    process.kill()
    process.wait()
    raise BuildError("the server is stopping")
