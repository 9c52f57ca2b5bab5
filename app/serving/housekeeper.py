"""Compaction and snapshots of the indexes in memory, on one background thread."""

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from app.serving.release import ServingRelease
from index.errors import VectorIndexError
from index.snapshot import latest_snapshot, prune_snapshots

QUIET_S: Final = 2.0
"""An import is over when nothing came for so long; compacting earlier would compact again and again."""

AT_LEAST_EVERY_S: Final = 60.0
"""Writes that never pause are compacted this often."""

LARGE_DELTA: Final = 100_000
"""Changes from which searches suffer more than the import would."""

_log = structlog.get_logger(__name__)


class Housekeeper:
    """Decides when an index is compacted, compacts it and saves it.

    Args:
        data: Folder of the snapshots.
        quiet_s: See QUIET_S.
    """

    def __init__(self, data: Path, *, quiet_s: float = QUIET_S) -> None:
        self._data = data
        self._quiet_s = quiet_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="housekeeper")
        self._lock = threading.Lock()  # guards the three below
        self._busy: set[int] = set()
        self._changed_at: dict[int, float] = {}
        self._compacted_at: dict[int, float] = {}

    def changed(self, release: ServingRelease) -> None:
        """Hear that changes were just applied."""
        with self._lock:
            now = self._changed_at[release.key.release_id] = time.monotonic()
            self._compacted_at.setdefault(release.key.release_id, now)

    def consider(self, release: ServingRelease) -> None:
        """Compact in the background, if it is worth it and the time has come."""
        if not release.index.should_compact:
            return
        with self._lock:
            if release.key.release_id in self._busy or not self._is_due(release):
                return
            self._busy.add(release.key.release_id)
        self._thread.submit(self._run, release)

    def save(self, releases: Iterable[ServingRelease]) -> None:
        """Stop, then save what is not saved, so that the next start need not encode again."""
        self._thread.shutdown()
        for release in releases:
            newest = latest_snapshot(release.key.folder(self._data))
            if newest is None or int(newest.name) != release.index.applied_seq:
                self._compact_and_save(release)

    def _is_due(self, release: ServingRelease) -> bool:
        now, key = time.monotonic(), release.key.release_id
        quiet = now - self._changed_at.get(key, 0.0) >= self._quiet_s
        stale = now - self._compacted_at.get(key, 0.0) >= AT_LEAST_EVERY_S
        stats = release.index.stats()
        return quiet or stale or stats.delta > max(LARGE_DELTA, stats.base)

    def _run(self, release: ServingRelease) -> None:
        try:
            self._compact_and_save(release)
        except Exception:  # the thread serves every collection and must live on
            _log.exception("compaction_failed", collection=release.key.collection)
        finally:
            with self._lock:
                self._busy.discard(release.key.release_id)
                self._compacted_at[release.key.release_id] = time.monotonic()

    def _compact_and_save(self, release: ServingRelease) -> None:
        started, folder = time.monotonic(), release.key.folder(self._data)
        try:
            saved = release.index.save(folder, encoder_checksum=release.bundle.sha)
            prune_snapshots(folder)
        except (OSError, VectorIndexError) as error:
            # the database has everything: the price is a slower start
            _log.warning("snapshot_not_saved", collection=release.key.collection, error=str(error))
            return
        _log.info(
            "snapshot_saved",
            collection=release.key.collection,
            seq=int(saved.name),
            records=len(release.index),
            seconds=round(time.monotonic() - started, 3),
        )
