"""Snapshots as the service has them: an index with its sidecar, in one folder, under one manifest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.serving.catalogue.sidecar import Sidecar
from index.backends.exact import ExactIndex
from index.backends.milvus.server import Milvus
from index.backends.rows import FrozenIndex, Rows
from index.errors import SnapshotDamagedError
from index.snapshot import load_snapshot
from index.spec import Device


class BuildError(Exception):
    """The process that builds ended without a snapshot; says what it said last."""


class StaleReleaseError(BuildError):
    """What a release in memory rests on is damaged, gone, or not the newest: it has to be loaded again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a release starts from.

    Attributes:
        index: The vectors.
        sidecar: The entries, row by row; None where there are no records.
        applied_seq: The sequence number up to which every change is in both.
        known_seq: The newest change that any row of them may show.
        tag: What the change log knows that one by.
        folder: Where they lie; None where there is no snapshot.
        rows: What tells the rows from those of any other snapshot.
    """

    index: FrozenIndex
    sidecar: Sidecar | None
    applied_seq: int
    known_seq: int
    tag: int
    folder: Path | None
    rows: str = ""


def empty_base(dim: int) -> Base:
    """No records, before the first change."""
    rows = Rows.sorted(np.empty(0, np.int64), np.empty((0, dim), np.float32))
    return Base(index=ExactIndex(rows), sidecar=None, applied_seq=0, known_seq=0, tag=0, folder=None)


def load_base(
    folder: Path, *, encoder_checksum: str, dim: int, device: Device = Device.CPU, server: Milvus | None = None
) -> Base:
    """Verify a snapshot and map it; its index is searched on the device, or on the index server where it is there.

    Raises:
        SnapshotError: It is damaged, or of another encoder or version.
        OSError: It cannot be read now.
        DeviceError: The device is not there, or has no room.
        IndexServerError: The index server is away, refuses, or is needed and was not given.
    """
    snapshot = load_snapshot(folder, encoder_checksum=encoder_checksum, dim=dim, device=device, server=server)
    try:
        sidecar = Sidecar(folder, snapshot.index.rows.record_ids)
    except ValueError as error:
        raise SnapshotDamagedError(str(folder), f"its entries cannot be read ({error})") from error
    return Base(
        index=snapshot.index,
        sidecar=sidecar,
        applied_seq=snapshot.applied_seq,
        known_seq=snapshot.known_seq,
        tag=snapshot.tag,
        folder=folder,
        rows=snapshot.rows,
    )
