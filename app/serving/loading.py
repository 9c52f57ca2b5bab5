"""From the database, and a snapshot where a sound one is, to a release in memory."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.db import Database
from app.encoder.store import EncoderStore
from app.errors import NotReadyError
from app.serving.catalogue import Catalogue, Entry
from app.serving.release import ReleaseKey, ServingRelease
from app.serving.repository import ActiveRelease, LogTrimmedError, read_all, read_changed_ids
from index.errors import SnapshotError
from index.factory import build
from index.live import LiveIndex
from index.snapshot import list_snapshots
from index.spec import choose_spec
from model.contract.bundle import Bundle
from model.contract.decision import DecisionParameters

ENCODED_AT_ONCE: Final = 512
"""Sentences between two looks at the clock, and between two chances for other threads."""

_PROGRESS_S: Final = 5.0

_log = structlog.get_logger(__name__)


class Loader:
    """Loads releases.

    Args:
        database: The truth.
        store: The encoders.
        data: Folder of the snapshots.
    """

    def __init__(self, database: Database, store: EncoderStore, data: Path) -> None:
        self._database = database
        self._store = store
        self._data = data

    def load(self, active: ActiveRelease, *, is_stopping: Callable[[], bool]) -> ServingRelease:
        """Load one release; what of the log its snapshot does not have is for the follower to apply.

        Raises:
            BundleError: The encoder cannot be used.
            NotReadyError: `is_stopping` came true.
        """
        key, started = active.key, time.monotonic()
        bundle = self._store.get(key.encoder_sha)
        last_seq, entries = self._database.read(lambda session: read_all(session, key.collection_id))
        index = self._from_snapshot(key, bundle, last_seq, entries)
        source = "snapshot"
        if index is None:
            index, source = _rebuild(key, bundle, last_seq, entries, is_stopping), "database"
        _log.info(
            "release_loaded",
            collection=key.collection,
            release=key.number,
            records=len(entries),
            applied_seq=index.applied_seq,
            source=source,
            seconds=round(time.monotonic() - started, 3),
        )
        return ServingRelease(
            key=key,
            bundle=bundle,
            parameters=DecisionParameters.model_validate(active.decision),
            index=index,
            catalogue=Catalogue(entries),
        )

    def _from_snapshot(
        self, key: ReleaseKey, bundle: Bundle, last_seq: int, entries: dict[int, Entry]
    ) -> LiveIndex | None:
        """The newest sound snapshot; records that changed since are taken out of `entries`, to be applied again."""
        for folder in list_snapshots(key.folder(self._data)):
            try:
                index = LiveIndex.load(folder, encoder_checksum=bundle.sha, dim=bundle.encoder.dim)
                since = partial(_changed_since, key=key, applied_seq=index.applied_seq, last_seq=last_seq)
                changed = self._database.read(since)
            except (SnapshotError, LogTrimmedError) as error:
                _throw_away(key, folder, str(error))
                continue
            if doubt := _doubt(index, entries, changed):
                _throw_away(key, folder, doubt)
                continue
            for record_id in changed:
                entries.pop(record_id, None)
            return index
        return None


def _changed_since(session: Session, key: ReleaseKey, applied_seq: int, last_seq: int) -> set[int]:
    if applied_seq > last_seq:
        raise LogTrimmedError(f"it is at change {applied_seq}, the database at {last_seq} only")
    return read_changed_ids(session, key.collection_id, applied_seq)


def _doubt(index: LiveIndex, entries: dict[int, Entry], changed: set[int]) -> str | None:
    """Why the snapshot cannot be of these records, if it cannot."""
    unexplained = set(index.record_ids().tolist()) ^ entries.keys()
    unexplained -= changed
    if unexplained:
        return f"{len(unexplained)} records are in the snapshot or in the database only, without a change that says why"
    return None


def _throw_away(key: ReleaseKey, folder: Path, reason: str) -> None:
    _log.warning("snapshot_thrown_away", collection=key.collection, folder=str(folder), reason=reason)
    shutil.rmtree(folder, ignore_errors=True)


def _rebuild(
    key: ReleaseKey, bundle: Bundle, last_seq: int, entries: dict[int, Entry], is_stopping: Callable[[], bool]
) -> LiveIndex:
    record_ids = np.fromiter(entries.keys(), np.int64, len(entries))
    vectors = _encode_all(key, bundle, [entry.text for entry in entries.values()], is_stopping)
    return LiveIndex(build(record_ids, vectors, choose_spec(*vectors.shape)), applied_seq=last_seq)


def _encode_all(
    key: ReleaseKey, bundle: Bundle, texts: list[str], is_stopping: Callable[[], bool]
) -> NDArray[np.float32]:
    vectors = np.empty((len(texts), bundle.encoder.dim), np.float32)
    told = time.monotonic()
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        if is_stopping():
            raise NotReadyError("the server is stopping")
        vectors[start : start + ENCODED_AT_ONCE] = bundle.encoder.encode(texts[start : start + ENCODED_AT_ONCE])
        if time.monotonic() - told > _PROGRESS_S:
            told = time.monotonic()
            _log.info("release_encoding", collection=key.collection, done=start, total=len(texts))
    return vectors
