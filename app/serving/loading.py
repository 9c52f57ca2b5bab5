"""From a snapshot where a sound one is, else from the database, to a release in memory."""

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.db.database import Database
from app.encoder.store import EncoderStore
from app.encoding.bulk import encode_many
from app.errors import NotReadyError
from app.serving.compacting import Compactor, Rows, compactor_of
from app.serving.index_server import IndexServer
from app.serving.release import ServingRelease
from app.serving.release_key import ReleaseKey
from app.serving.repository import (
    ChangedRecords,
    WantedRelease,
    count_all,
    find_tag,
    reaches_back,
    read_all,
    read_last,
)
from app.serving.snapshots.base import Base, BuildError, StaleReleaseError, empty_base, load_base
from index.drafts import drafting, remove_dead_drafts
from index.errors import SnapshotDamagedError, SnapshotError, VectorIndexError
from index.snapshot import list_snapshots
from index.spec import Device, IndexKind, choose_spec
from model.contract.bundle import Bundle
from model.contract.deciding.decision import DecisionParameters

_PROGRESS_S: Final = 5.0

_FOR_NOW: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Too much is open, or in memory: that says nothing about the snapshot."""

_log = structlog.get_logger(__name__)


class Loader:
    """Loads releases.

    Args:
        database: The truth.
        store: The encoders.
        data: Folder of the snapshots.
        device: Where indexes are searched.
        is_shared: Whether other servers use the folder too.
        server: Where large indexes go; None keeps all here.
    """

    def __init__(
        self,
        database: Database,
        store: EncoderStore,
        data: Path,
        *,
        device: Device = Device.CPU,
        is_shared: bool = False,
        server: IndexServer | None = None,
    ) -> None:
        self._database = database
        self._store = store
        self._data = data
        self._device = device
        self._is_shared = is_shared
        self._server = server

    def load(self, wanted: WantedRelease, *, is_stopping: Callable[[], bool]) -> ServingRelease:
        """Load one release; what of the log its snapshot does not have is for the follower to apply.

        Raises:
            BundleError: The encoder cannot be used.
            DeviceError: The device has no room for the index.
            IndexServerError: The index server has it, and is away.
            NotReadyError: `is_stopping` came true.
        """
        key, started = wanted.key, time.monotonic()
        bundle = self._store.get(key.encoder_sha)
        with suppress(OSError):  # it costs room on the disk, no more
            remove_dead_drafts(key.folder(self._data))
        release, source = self._from_snapshot(wanted, bundle), "snapshot"
        if release is None:
            try:
                release, source = self._from_database(wanted, bundle, is_stopping), "database"
            except StaleReleaseError:  # while these records were encoded another server has saved them
                release = self._from_snapshot(wanted, bundle)
                if release is None:
                    raise
        _log.info(
            "release_loaded",
            collection=key.collection,
            release=key.number,
            records=release.view.index.count,
            applied_seq=release.applied_seq,
            source=source,
            providers=bundle.encoder.providers,
            seconds=round(time.monotonic() - started, 3),
        )
        return release

    def rebuild(self, active: WantedRelease, tell: Callable[[int, int], None], is_stopping: Callable[[], bool]) -> Base:
        """Encode every record anew and put a snapshot of that in the place of all others; no release is touched.

        Args:
            active: Of which release.
            tell: Hears how many records of how many are encoded.
            is_stopping: When it comes true, all is left as it was.

        Raises:
            OSError: The disk refused.
            BuildError: It could not be built, or `is_stopping` came true.
            BundleError: The encoder cannot be used.
        """
        bundle, folder = self._store.get(active.key.encoder_sha), active.key.folder(self._data)
        with drafting(folder, "rebuilt") as draft:
            base = encode_all(self._database, active, bundle, draft.folder, tell, is_stopping, self._server)
            if base.folder is not None:
                base.folder.rename(folder / base.folder.name)
                for old in list_snapshots(folder)[1:]:
                    shutil.rmtree(old, ignore_errors=True)
            return base

    def forget(self, encoder_sha: str) -> None:
        """Keep an encoder in memory no longer."""
        self._store.forget(encoder_sha)

    def _from_snapshot(self, wanted: WantedRelease, bundle: Bundle) -> ServingRelease | None:
        """The release over the newest snapshot that is sound and of this database's history."""
        milvus, key = None if self._server is None else self._server.milvus, wanted.key
        sha, dim = bundle.sha, bundle.encoder.dim
        for folder in _newest_first(key.folder(self._data)):
            try:
                base = load_base(folder, encoder_checksum=sha, dim=dim, device=self._device, server=milvus)
            except (SnapshotError, OSError) as error:
                if _is_for_good(error, is_shared=self._is_shared):
                    _throw_away(key, folder, str(error))
                else:
                    _log.warning("snapshot_not_used", collection=key.collection, folder=str(folder), reason=str(error))
                continue
            if doubt := self._doubt(key, base):
                _throw_away(key, folder, doubt)
                continue
            return _release(wanted, bundle, base)
        return None

    def _doubt(self, key: ReleaseKey, base: Base) -> str | None:
        """Why the snapshot cannot be of what the database holds, or cannot be brought up to date, if it cannot."""
        seq, applied_seq, collection_id = base.known_seq, base.applied_seq, key.collection_id
        tag, can_go_on = self._database.read(
            lambda session: (
                find_tag(session, collection_id, seq),
                reaches_back(session, collection_id, applied_seq),
            )
        )
        if tag is None:
            return f"it knows of change {seq}, which is not in the database's log"
        if tag != base.tag:
            return f"its change {seq} is another than the database's: was a backup restored?"
        if not can_go_on:
            return f"change {applied_seq + 1}, which it lacks, is no longer in the database's log"
        return None

    def _from_database(self, wanted: WantedRelease, bundle: Bundle, is_stopping: Callable[[], bool]) -> ServingRelease:
        """Encode every record, and leave a snapshot for the next time; without room on the disk, go without.

        Raises:
            IndexServerError: The index server, where it is to go, is away.
            StaleReleaseError: Another server has saved one meanwhile.
            BuildError: It could not be put on the index server.
        """
        self._require_server(wanted.key, bundle)
        compactor = compactor_of(
            wanted.key,
            bundle,
            self._data,
            wanted.target_recall,
            is_stopping,
            device=self._device,
            server=self._server,
        )
        try:
            base = self._database.read(lambda session: _write_all(session, wanted, bundle, compactor, is_stopping))
        except StaleReleaseError:
            raise
        except (OSError, BuildError, VectorIndexError) as error:
            if is_stopping():
                raise NotReadyError("the server is stopping") from None
            if self._server is not None and not isinstance(error, OSError):
                raise  # it may be larger than this machine
            _log.warning("snapshot_not_saved", collection=wanted.key.collection, error=str(error))
            release = _release(wanted, bundle, empty_base(bundle.encoder.dim))
            self._database.read(lambda session: _apply_all(session, wanted, release, is_stopping))
            return release
        return _release(wanted, bundle, base)

    def _require_server(self, key: ReleaseKey, bundle: Bundle) -> None:
        """See that the index server answers before an hour of encoding for it."""
        n = self._database.read(lambda session: count_all(session, key.collection_id))
        if self._server is not None and choose_spec(n, bundle.encoder.dim).kind is not IndexKind.EXACT:
            self._server.require()


def encode_all(
    database: Database,
    release: WantedRelease,
    bundle: Bundle,
    snapshots: Path,
    tell: Callable[[int, int], None],
    is_stopping: Callable[[], bool],
    server: IndexServer | None,
) -> Base:
    """Encode every record of a release's collection, and write a snapshot of that.

    Args:
        database: The truth.
        release: Says of which collection, and what recall its index is tuned for.
        bundle: What to encode with, which may be another than the release's.
        snapshots: Folder to write it to.
        tell: Hears how many records of how many are encoded.
        is_stopping: When it comes true, it is given up.
        server: Where a large index goes; None keeps it here.

    Raises:
        OSError: The disk refused.
        BuildError: It could not be built, or `is_stopping` came true.
        IndexServerError: The index server is away, or refuses.
    """
    compactor = Compactor(
        snapshots,
        encoder_checksum=bundle.sha,
        dim=bundle.encoder.dim,
        target_recall=release.target_recall,
        is_stopping=is_stopping,
        server=server,
        collection_id=release.key.collection_id,
    )
    try:
        return database.read(lambda session: _write_all(session, release, bundle, compactor, is_stopping, tell))
    except NotReadyError as error:
        raise BuildError(str(error)) from None


def _release(wanted: WantedRelease, bundle: Bundle, base: Base) -> ServingRelease:
    parameters = DecisionParameters.model_validate(wanted.decision)
    return ServingRelease(wanted.key, bundle, parameters, base, wanted.target_recall, wanted.keeping)


def _write_all(
    session: Session,
    wanted: WantedRelease,
    bundle: Bundle,
    compactor: Compactor,
    is_stopping: Callable[[], bool],
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Base:
    last_seq, tag = read_last(session, wanted.key.collection_id)
    if last_seq == 0:
        return empty_base(bundle.encoder.dim)
    return compactor.write(_encoded(session, wanted, bundle, is_stopping, tell), last_seq, tag)


def _apply_all(
    session: Session, wanted: WantedRelease, release: ServingRelease, is_stopping: Callable[[], bool]
) -> None:
    last_seq, tag = read_last(session, wanted.key.collection_id)
    for record_ids, vectors, entries in _encoded(session, wanted, release.bundle, is_stopping):
        changes = ChangedRecords(last_seq, last_seq, tag, dict(zip(record_ids.tolist(), entries, strict=True)), [])
        release.apply(changes, record_ids, vectors)


def _encoded(
    session: Session,
    wanted: WantedRelease,
    bundle: Bundle,
    is_stopping: Callable[[], bool],
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Rows]:
    """Every searchable record with its vector, some at a time."""
    told, done, total = time.monotonic(), 0, count_all(session, wanted.key.collection_id)
    for part in read_all(session, wanted.key.collection_id):
        if is_stopping():
            raise NotReadyError("the server is stopping")
        entries = [entry for _, entry in part]
        yield (
            np.array([record_id for record_id, _ in part], np.int64),
            encode_many(bundle.encoder, [entry.text for entry in entries]),
            entries,
        )
        done += len(part)
        tell(done, total)
        if time.monotonic() - told > _PROGRESS_S:
            told = time.monotonic()
            _log.info("release_encoding", collection=wanted.key.collection, done=done, total=total)


def _is_for_good(error: Exception, *, is_shared: bool) -> bool:
    """Whether a snapshot that cannot be loaded is of no use; where others use it too, to none of them."""
    if is_shared:
        return isinstance(error, SnapshotDamagedError)
    return not (isinstance(error, OSError) and error.errno in _FOR_NOW)


def _newest_first(snapshots: Path) -> Iterator[Path]:
    """Each snapshot once, the newest first, also one that another server saves, and removes others for, meanwhile."""
    seen = set[Path]()
    while (folder := next((one for one in list_snapshots(snapshots) if one not in seen), None)) is not None:
        seen.add(folder)
        yield folder


def _throw_away(key: ReleaseKey, folder: Path, reason: str) -> None:
    _log.warning("snapshot_thrown_away", collection=key.collection, folder=str(folder), reason=reason)
    shutil.rmtree(folder, ignore_errors=True)
