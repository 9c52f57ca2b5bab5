"""Snapshots: an immutable folder of an index at a sequence number, whole or not there, and verified when loaded.

A folder is written as a draft, each file flushed to the disk, manifest.json last; then it is renamed. A crash leaves at
most a draft.
"""

import errno
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from index.backends.faiss_ivf import IvfPqIndex
from index.backends.milvus.base import MilvusBase, open_base
from index.backends.milvus.server import Milvus
from index.backends.rows import FrozenIndex, RowIndex, Rows
from index.backends.trial import save_trials
from index.drafts import LEFT_OVER, drafting, remove_dead_drafts, remove_folder
from index.errors import (
    CollectionLostError,
    IndexServerUnsetError,
    SnapshotDamagedError,
    SnapshotError,
    SnapshotTakenError,
    WrongEncoderError,
)
from index.factory import place, restore
from index.files import flush, load_array, save_array
from index.manifest import MANIFEST, Manifest, describe_file, load_manifest
from index.milvus_kinds import MilvusSpec
from index.spec import Device, IndexSpec
from index.types import Ids

VECTORS, IDS, CODES, TRIALS = "vectors.npy", "ids.npy", "codes.faiss", "trials.npz"

WriteCompanions = Callable[[Path], Sequence[str]]
"""Writes files into the folder of a snapshot that is being made; returns their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An index, with what it was made by and how far it is complete.

    Attributes:
        index: The index.
        encoder_checksum: Of the encoder that made its vectors.
        applied_seq: The sequence number up to which every change is in it.
        known_seq: The newest change that any of its records may show, at least `applied_seq`.
        tag: What the caller knows that one by.
        rows: Of one that was loaded: see `rows_checksum`.
    """

    index: FrozenIndex
    encoder_checksum: str
    applied_seq: int
    known_seq: int = 0
    tag: int = 0
    rows: str = ""


def snapshot_folder(parent: Path, applied_seq: int) -> Path:
    """The folder of a snapshot, so named that names sort as numbers do."""
    return parent / f"{applied_seq:020d}"


def list_snapshots(parent: Path) -> list[Path]:
    """Folders of the snapshots under `parent`, newest first; none of them is verified.

    A folder has such a name only once it is whole: one whose manifest is missing is damaged, and its files count.
    """
    if not parent.is_dir():
        return []
    named = [path for path in parent.iterdir() if path.name.isdecimal() and path.is_dir()]
    return sorted(named, key=lambda path: int(path.name), reverse=True)


def latest_snapshot(parent: Path) -> Path | None:
    """The newest snapshot's folder under `parent`, or None."""
    return next(iter(list_snapshots(parent)), None)


def is_of(folder: Path, index: FrozenIndex) -> bool:
    """Whether a snapshot's vectors are where those of the index are, in the same collection of a server or here; and
    then whether it has as many lists, tuned for the same target.
    """
    try:
        manifest = load_manifest(folder)
    except SnapshotError:
        return False
    same_place = manifest.collection == _collection_of(index)
    return same_place and (index.is_remote or _learned(manifest.spec) == _learned(index.spec))


def save_snapshot(
    folder: Path,
    snapshot: Snapshot,
    write_companions: WriteCompanions | None = None,
    *,
    vectors: Path | None = None,
) -> None:
    """Write a snapshot. One of that name which is whole already is never replaced by other rows.

    The same rows, if they are there already, stay as they are, or are replaced where they are tuned for another target,
    are in other lists or lie elsewhere. A damaged one is replaced.

    Args:
        folder: Where; its parent is made if need be.
        snapshot: What.
        write_companions: Writes the caller's own files, whole or not there with the snapshot, and names them.
        vectors: A file on the same disk that the index's vectors were mapped from; it is moved, to spare a copy.

    Raises:
        SnapshotTakenError: The folder exists, whole, with other rows.
        WrongEncoderError: The folder exists and is of another encoder.
        OSError: The disk refused; `folder` is as it was.
    """
    with drafting(folder.parent, folder.name) as draft:
        made = draft.folder / "snapshot"
        made.mkdir()
        manifest = _write_files(made, snapshot, write_companions, vectors)
        flush(made)
        if folder.exists():
            there = _find_whole(folder, snapshot)
            if there is not None and rows_checksum(there) != rows_checksum(manifest):
                raise SnapshotTakenError(str(folder))
            if there is not None and _facts(there) == _facts(manifest):
                return
            _move_aside(folder)
        try:
            made.replace(folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process has just saved it
                raise SnapshotTakenError(str(folder)) from None
            raise
        flush(folder.parent)


def load_snapshot(
    folder: Path,
    *,
    encoder_checksum: str,
    dim: int,
    search_threads: int = 1,
    device: Device = Device.CPU,
    server: Milvus | None = None,
) -> Snapshot:
    """Verify every file of a snapshot and load it; the vectors stay on the disk, memory-mapped, or on the server.

    Args:
        folder: Where.
        encoder_checksum: Of the encoder it is to be searched with.
        dim: Of that encoder.
        search_threads: OpenMP threads of each search.
        device: Where it is to be searched.
        server: The index server, if there is one.

    Raises:
        WrongEncoderError: It was made by another encoder, or has another dim.
        SnapshotDamagedError: A file is missing, short or changed; or the server has not got its collection, whole.
        SnapshotVersionError: It was written by another version of the format.
        BackendMissingError: It needs FAISS, which is not installed.
        DeviceError: The device is not there, or has no room.
        IndexServerError: The server is away, refuses, or was not given.
    """
    manifest = verify_snapshot(folder, encoder_checksum=encoder_checksum, dim=dim)
    ids = load_array(folder / IDS)
    if ids.shape != (manifest.count,) or ids.dtype != np.int64 or not (ids[1:] > ids[:-1]).all():
        raise SnapshotDamagedError(str(folder / IDS), f"not {manifest.count} ascending ids")
    index: FrozenIndex
    known = manifest.known_seq, manifest.tag
    if isinstance(manifest.spec, IndexSpec):
        index = place(_restore(folder, manifest, manifest.spec, ids, search_threads), device)
    else:
        index = _reopen(folder, manifest, ids, server)
        known = max(known, (index.index.facts.known_seq, index.index.facts.tag))
    return Snapshot(
        index=index,
        encoder_checksum=encoder_checksum,
        applied_seq=manifest.applied_seq,
        known_seq=known[0],
        tag=known[1],
        rows=rows_checksum(manifest),
    )


def rows_checksum(manifest: Manifest) -> str:
    """What tells the rows of a snapshot from those of any other: their ids, and the caller's own files.

    The vectors follow from them, and the same rows may be tuned otherwise, or lie elsewhere.
    """
    files = [f"{name} {file.xxh3_128}" for name, file in manifest.files.items() if name not in (VECTORS, CODES, TRIALS)]
    return xxhash.xxh3_128_hexdigest("\n".join(sorted(files)).encode())


def verify_snapshot(folder: Path, *, encoder_checksum: str, dim: int) -> Manifest:
    """Read every byte of a snapshot and compare with its manifest; raises as `load_snapshot` does."""
    manifest = load_manifest(folder)
    if (manifest.encoder_checksum, manifest.dim) != (encoder_checksum, dim):
        raise WrongEncoderError(
            f"snapshot {folder}",
            found=manifest.encoder_checksum,
            found_dim=manifest.dim,
            expected=encoder_checksum,
            expected_dim=dim,
        )
    for name, expected in manifest.files.items():
        try:
            found = describe_file(folder / name)
        except FileNotFoundError:
            raise SnapshotDamagedError(str(folder / name), "there is no such file") from None
        if found.size_bytes != expected.size_bytes:
            raise SnapshotDamagedError(
                str(folder / name), f"{found.size_bytes} bytes long, {expected.size_bytes} were written"
            )
        if found.xxh3_128 != expected.xxh3_128:
            raise SnapshotDamagedError(str(folder / name), "its checksum differs")
    return manifest


def prune_snapshots(parent: Path, *, keep: int = 2) -> list[Path]:
    """Remove all but the newest snapshots, and the drafts that crashes have left.

    An index that is loaded from a removed folder goes on answering.

    Args:
        parent: Where the snapshots are.
        keep: How many to keep, at least 1.

    Returns:
        The snapshot folders that were removed.

    Raises:
        OSError: Something could not be removed.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}: the newest snapshot cannot be removed")
    removed = list_snapshots(parent)[keep:]
    for folder in removed:
        with suppress(FileNotFoundError):  # another server was faster
            remove_folder(_move_aside(folder))
    remove_dead_drafts(parent)
    return removed


def _find_whole(folder: Path, snapshot: Snapshot) -> Manifest | None:
    try:
        return verify_snapshot(folder, encoder_checksum=snapshot.encoder_checksum, dim=snapshot.index.dim)
    except SnapshotDamagedError:
        return None


def _facts(manifest: Manifest) -> tuple[object, ...]:
    return manifest.applied_seq, manifest.known_seq, manifest.tag, manifest.collection, _learned(manifest.spec)


def _learned(spec: IndexSpec | MilvusSpec) -> tuple[float, int]:
    return spec.target_recall, spec.nlist


def _collection_of(index: FrozenIndex) -> str | None:
    return index.name if isinstance(index, MilvusBase) else None


def _restore(folder: Path, manifest: Manifest, spec: IndexSpec, ids: Ids, search_threads: int) -> FrozenIndex:
    rows = Rows(ids, load_array(folder / VECTORS))
    if rows.vectors.shape != (manifest.count, manifest.dim) or rows.vectors.dtype != np.float32:
        raise SnapshotDamagedError(str(folder / VECTORS), f"not {manifest.count} vectors of dim {manifest.dim}")
    trials = folder / TRIALS if TRIALS in manifest.files else None
    try:
        return restore(rows, spec, manifest.index_recall, folder / CODES, trials=trials, search_threads=search_threads)
    except (ValueError, RuntimeError) as error:
        raise SnapshotDamagedError(str(folder / CODES), str(error)) from error


def _reopen(folder: Path, manifest: Manifest, ids: Ids, server: Milvus | None) -> MilvusBase:
    assert manifest.collection is not None  # or its spec would be another
    if server is None:
        raise IndexServerUnsetError(str(folder), manifest.collection)
    checksum, dim = manifest.encoder_checksum, manifest.dim
    try:
        return open_base(server, manifest.collection, ids, encoder_checksum=checksum, dim=dim)
    except CollectionLostError as error:
        raise SnapshotDamagedError(str(folder / MANIFEST), str(error)) from error


def _write_files(
    draft: Path, snapshot: Snapshot, write_companions: WriteCompanions | None, vectors: Path | None
) -> Manifest:
    index = snapshot.index
    save_array(draft / IDS, index.rows.record_ids)
    names = [IDS]
    if isinstance(index, RowIndex):
        if vectors is None:
            save_array(draft / VECTORS, index.rows.vectors)
        else:
            vectors.replace(draft / VECTORS)
            flush(draft / VECTORS)
        names.append(VECTORS)
    if isinstance(index, IvfPqIndex):
        index.save_codes(draft / CODES)
        flush(draft / CODES)
        names.append(CODES)
        if index.trials is not None:
            save_trials(draft / TRIALS, index.trials)
            flush(draft / TRIALS)
            names.append(TRIALS)
    if write_companions is not None:
        companions = write_companions(draft)
        for name in companions:
            flush(draft / name)
        names.extend(companions)
    manifest = Manifest(
        encoder_checksum=snapshot.encoder_checksum,
        dim=index.dim,
        count=len(index),
        applied_seq=snapshot.applied_seq,
        known_seq=snapshot.known_seq,
        tag=snapshot.tag,
        spec=index.spec,
        index_recall=index.index_recall,
        files={name: describe_file(draft / name) for name in names},
        collection=_collection_of(index),
    )
    (draft / MANIFEST).write_bytes(manifest.to_bytes())
    flush(draft / MANIFEST)
    return manifest


def _move_aside(folder: Path) -> Path:
    # Renamed before it is removed: half a snapshot must never stand under a snapshot's name.
    aside = folder.replace(folder.parent / f"{LEFT_OVER}{folder.name}-{uuid.uuid4().hex}")
    flush(folder.parent)
    return aside
