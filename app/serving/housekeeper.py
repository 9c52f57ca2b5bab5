"""When the indexes in memory are compacted, and what is kept of their snapshots."""

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from app.data_layout import folders_of_collections
from app.memory import give_back_free_memory
from app.priority import let_others_go_first
from app.serving.compacting import compactor_of
from app.serving.index_server import IndexServer
from app.serving.release import ServingRelease
from app.serving.release_key import ReleaseKey
from app.serving.repository import WantedRelease
from app.serving.snapshots.base import Base, BuildError, StaleReleaseError
from app.serving.trimming import LogTrimmer
from index.drafts import remove_folder
from index.errors import IndexServerError, VectorIndexError
from index.factory import has_few_lists
from index.live import COMPACT_REMOTE_ROWS, is_worth_compacting
from index.snapshot import is_of, latest_snapshot, prune_snapshots
from index.spec import Device, IndexKind, choose_spec
from model.contract.errors import SamesayError

QUIET_S: Final = 2.0
"""An import is over when nothing came for so long; compacting earlier would compact again and again."""

REST_S: Final = 5.0
REST_SHARE: Final = 10
"""Writes that never pause are compacted after this rest, or so many times the last compaction's duration if longer."""

ORDER_REST_S: Final = 1.0
"""After an order the next is thought of so much later: the job is waiting, or running, or done by then."""

RETRY_S: Final = 60.0
"""What failed is tried again after so long."""

LARGE_DELTA: Final = 80_000
"""Changes from which a compaction waits for nothing, and learns as little as possible: more are to come."""

MOST_CHANGES: Final = 160_000
"""Changes that are taken into memory before the compaction that is due is done: of dim 256 they take 1.6 KB each."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pace:
    """What is known of a release: moments of the monotonic clock, and how the last compaction ended."""

    changed_at: float
    compacted_at: float
    took_s: float = 0.0
    rests_until: float = 0.0
    has_failed: bool = False


class Housekeeper:
    """Decides when an index is compacted, compacts it and saves it; removes what deleted collections leave.

    Args:
        data: Folder of the snapshots.
        order: Orders a compaction of a collection.
        is_shared: Whether other servers use the folder too.
        device: Where indexes are searched.
        server: Where large ones go; None keeps all here.
        trimmer: Removes old changes; None keeps all.
        quiet_s: See QUIET_S.
    """

    def __init__(
        self,
        data: Path,
        order: Callable[[str], object],
        *,
        is_shared: bool = False,
        device: Device = Device.CPU,
        server: IndexServer | None = None,
        trimmer: LogTrimmer | None = None,
        quiet_s: float = QUIET_S,
    ) -> None:
        self.data = data
        self._order = order
        self._is_shared, self._device = is_shared, device
        self._server, self._is_tidying = server, False
        self._trimmer = trimmer
        self._quiet_s = quiet_s
        self._thread = ThreadPoolExecutor(1, "housekeeper", initializer=let_others_go_first)
        self._lock = threading.Lock()  # guards _paces and what is in it
        self._paces: dict[int, _Pace] = {}  # by release_id, until it is removed
        self._compacting: int | None = None  # release_id; guarded as well, and so is the next
        self._left: Path | None = None  # a folder that was removed meanwhile, and may have come back
        self._building = threading.Lock()  # one compaction at a time; held for as long as one takes

    def changed(self, release: ServingRelease) -> None:
        """Hear that changes were just applied."""
        with self._lock:
            now = time.monotonic()
            self._paces.setdefault(release.key.release_id, _Pace(now, now)).changed_at = now

    def loaded(self, release: ServingRelease) -> None:
        """Hear that a release was loaded: what failed before may succeed now."""
        self.changed(release)
        with self._lock:
            pace = self._paces[release.key.release_id]
            pace.rests_until, pace.has_failed = 0.0, False

    def has_newer(self, release: ServingRelease) -> bool:
        """Whether another server has saved a newer snapshot than the one under the release."""
        newest, index = latest_snapshot(release.key.folder(self.data)) if self._is_shared else None, release.view.index
        if newest is None or int(newest.name) < index.base_seq:
            return False
        return int(newest.name) > index.base_seq or not is_of(newest, index.base)

    def consider(self, release: ServingRelease) -> None:
        """Order a compaction, if it is worth it and the time has come."""
        if not is_worth_it(release):
            return
        with self._lock:
            pace = self._paces.get(release.key.release_id)
            if pace is None or not self._is_due(release, pace):
                return
            pace.rests_until = time.monotonic() + ORDER_REST_S
        self._thread.submit(self._order_one, release)

    def is_full(self, release: ServingRelease) -> bool:
        """Whether changes had better wait for the compaction that is due; not where it would fail, but over an index
        server, which may be away for hours.
        """
        if release.view.n_changes < MOST_CHANGES or not is_worth_it(release):
            return False
        with self._lock:
            pace = self._paces.get(release.key.release_id)
            return pace is not None and (release.view.index.base.is_remote or not pace.has_failed)

    def compact(self, release: ServingRelease, is_stopping: Callable[[], bool]) -> Base:
        """Write the next snapshot and put it under the release, now; older ones are removed.

        Raises:
            OSError: The disk refused.
            StaleReleaseError: It is not the newest any more, or its base is damaged; it will be loaded again.
            BuildError: It could not be built, was removed, or `is_stopping` came true.
            VectorIndexError: The base cannot be read.
        """
        started, saved = time.monotonic(), False
        self._begin(release)
        try:
            base = self._compact_and_save(release, is_stopping)
            saved = True
            return base
        finally:
            self._compacted(release, started, saved=saved)

    def purge(self, releases: Sequence[ServingRelease]) -> "Future[bool]":
        """Save what is live now of all that is in memory of a collection, and remove every other snapshot of it.

        Returns:
            Resolves when it is done; false where the disk or the index server refused.
        """
        return self._thread.submit(self._purge, releases)

    def remove(self, release: ServingRelease, *, with_collection: bool) -> None:
        """Remove all that is saved of a release or its whole collection, then what a compaction of it saves still."""
        own = release.key.folder(self.data).parent
        folder = own.parent.parent if with_collection else own
        with self._lock:
            self._paces.pop(release.key.release_id, None)
            if release.key.release_id == self._compacting:
                self._left = folder
        self._remove_later(folder)

    def list_folders(self) -> list[Path]:
        """The folders of collections and of releases."""
        return [folder for folder in folders_of_collections(self.data) if _is_ours(folder)]

    def remove_all_but(self, wanted: Iterable[ReleaseKey], folders: Iterable[Path]) -> None:
        """Remove those of the folders that no wanted release needs: it went while no server followed."""
        needed = {key.folder(self.data).parent for key in wanted}
        needed |= {folder.parent.parent for folder in needed}
        for folder in folders:
            if folder not in needed:
                self._remove_later(folder)

    def tidy_server(self, answering: Sequence[ServingRelease]) -> None:
        """Have what is on the index server put in order, where there is something to do; takes no time."""
        if self._server is not None and not self._is_tidying and self._server.is_due(answering):
            self._is_tidying = True
            self._thread.submit(self._tidy, self._server, answering)

    def trim_logs(self, wanted: Sequence[WantedRelease], held: Sequence[ServingRelease]) -> None:
        """Have changes removed that no release needs any more, where it is time for it; takes no time."""
        if self._trimmer is not None and self._trimmer.take_turn():
            self._thread.submit(self._trimmer.trim, wanted, held)

    def save(self, releases: Iterable[ServingRelease]) -> None:
        """Stop, then save what is not saved where that takes milliseconds: the next start need not encode it again."""
        self._thread.shutdown()
        if self._is_shared:
            return  # the others save it
        for release in releases:
            if release.view.n_changes and _is_small(release):
                self._try_to_save(release)

    def _is_due(self, release: ServingRelease, pace: _Pace) -> bool:
        now = time.monotonic()
        if now < pace.rests_until:
            return False
        quiet = now - pace.changed_at >= self._quiet_s
        stale = now - pace.compacted_at >= max(REST_S, REST_SHARE * pace.took_s)
        large = COMPACT_REMOTE_ROWS if release.view.index.base.is_remote else LARGE_DELTA
        return quiet or stale or release.view.n_changes > large

    def _order_one(self, release: ServingRelease) -> None:
        if self.has_newer(release):
            return  # which is about to be loaded
        collection = release.key.collection
        try:
            self._order(collection)
        except SamesayError as error:  # it is due again in a moment
            _log.warning("compaction_not_ordered", collection=collection, error=str(error))

    def _begin(self, release: ServingRelease) -> None:
        with self._lock:
            if release.key.release_id not in self._paces:
                raise BuildError("the release was removed: its folder must not come back")
            self._compacting = release.key.release_id

    def _compacted(self, release: ServingRelease, started: float, *, saved: bool) -> None:
        with self._lock:
            left, self._left, self._compacting = self._left, None, None
            pace = self._paces.get(release.key.release_id)
            if pace is not None:
                pace.compacted_at = time.monotonic()
                pace.took_s = pace.compacted_at - started
                pace.rests_until = 0.0 if saved else pace.compacted_at + RETRY_S
                pace.has_failed = not saved
        if left is not None:
            self._remove_later(left)

    def _compact_and_save(
        self, release: ServingRelease, is_stopping: Callable[[], bool] = lambda: False, *, keep: int = 2
    ) -> Base:
        with self._building:
            started, view = time.monotonic(), release.view
            compactor = compactor_of(
                release.key,
                release.bundle,
                self.data,
                release.target_recall,
                is_stopping,
                device=self._device,
                server=self._server,
            )
            try:
                base = compactor.fold(view, in_haste=view.n_changes > LARGE_DELTA)
            except StaleReleaseError:
                release.is_stale = True
                raise
            was_remote = view.index.base.is_remote
            release.rebase(base, view)
            del view  # its changes, and the index before, are most of what there is to give back
            give_back_free_memory()
            prune_snapshots(release.key.folder(self.data), keep=keep)
            if self._server is not None and (base.index.is_remote or was_remote):
                self._server.look_soon()
        _log.info(
            "snapshot_saved",
            collection=release.key.collection,
            seq=base.applied_seq,
            records=len(base.index),
            index_recall=base.index.index_recall,
            seconds=round(time.monotonic() - started, 3),
        )
        return base

    def _try_to_save(self, release: ServingRelease, *, keep: int = 2) -> bool:
        """Whether it could be saved; the database has everything: the price is a slower start."""
        try:
            self._compact_and_save(release, keep=keep)
        except (OSError, BuildError, VectorIndexError) as error:
            _log.warning("snapshot_not_saved", collection=release.key.collection, error=str(error))
            return False
        return True

    def _purge(self, releases: Sequence[ServingRelease]) -> bool:
        if not all(self._try_to_save(release, keep=1) for release in releases):
            return False
        held = {release.key.folder(self.data).parent for release in releases}
        try:
            for folder in next(iter(held)).parent.iterdir():
                if folder not in held:
                    remove_folder(folder)
            return self._server is None or self._server.purge(releases)
        except (OSError, IndexServerError) as error:
            _log.warning("copies_not_removed", collection=releases[0].key.collection, error=str(error))
            return False

    def _tidy(self, server: IndexServer, answering: Sequence[ServingRelease]) -> None:
        try:
            server.tidy(answering)
        finally:
            self._is_tidying = False

    def _remove_later(self, folder: Path) -> None:
        self._thread.submit(self._remove, folder)

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if self._server is not None:
            self._server.look_soon()


def _is_ours(folder: Path) -> bool:
    return folder.name.isdecimal()


def is_worth_it(release: ServingRelease) -> bool:
    """Whether a new snapshot would make searches faster, or is to be tuned for another target."""
    view = release.view
    base = view.index.base
    if view.index.count and base.spec.is_tuned and base.spec.target_recall != release.target_recall:
        return True
    if has_few_lists(base):
        return True
    return is_worth_compacting(view.n_changes, len(base), is_remote=base.is_remote)


def _is_small(release: ServingRelease) -> bool:
    """Whether a snapshot takes milliseconds: a server that is to stop must not go on building for a minute."""
    index = release.view.index
    return choose_spec(index.count, index.base.dim).kind is IndexKind.EXACT
