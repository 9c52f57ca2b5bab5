"""Every active release in memory, and the one thread that loads them and follows the change log."""

import asyncio
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from app.collection.repository import CollectionRepository
from app.db import Database
from app.errors import NotReadyError
from app.serving.following import apply_changes
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.release import ServingRelease
from app.serving.repository import ActiveRelease, list_active
from app.serving.visibility import Visibility

LOAD_WAIT_S: Final = 5.0
"""How long a search waits for a collection that is being loaded."""

_RETRY_S: Final = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServingStatus:
    """What is in memory of a collection."""

    visible_seq: int
    index_recall: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a release is not in memory, and when to try again."""

    reason: str
    retry_at: float


class Serving:
    """The releases in memory.

    Args:
        database: The truth.
        loader: Brings a release into memory.
        housekeeper: Compacts and saves.
        data: Folder of the collections' snapshots.
        poll_s: How often to look for changes that nobody here announced.
        wait_visible_s: How long `wait_visible` waits at most.
    """

    def __init__(
        self,
        database: Database,
        loader: Loader,
        housekeeper: Housekeeper,
        *,
        data: Path,
        poll_s: float,
        wait_visible_s: float,
    ) -> None:
        self._database = database
        self._loader = loader
        self._housekeeper = housekeeper
        self._data = data
        self._poll_s = poll_s
        self._wait_visible_s = wait_visible_s
        self._visibility = Visibility()
        self._by_id: dict[int, ServingRelease] = {}  # changed by the follower only
        self._by_name: dict[str, ServingRelease] = {}  # replaced as a whole, never changed
        self._naming = threading.Lock()  # guards the replacing of _by_name, and _forgotten
        self._forgotten: set[int] = set()
        self._failures: dict[int, _Failure] = {}
        self._wakened = threading.Event()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to load and to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following and save what is not saved."""
        self._stopping.set()
        self._wakened.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._housekeeper.save(self._by_id.values())

    @property
    def is_ready(self) -> bool:
        """Whether every collection was loaded, or tried, once."""
        return self._synced.is_set()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def releases(self) -> list[ServingRelease]:
        """What is in memory now."""
        return list(self._by_name.values())

    @property
    def failing(self) -> dict[int, str]:
        """Why collections are not in memory, by collection_id."""
        return {collection_id: failure.reason for collection_id, failure in list(self._failures.items())}

    def wake(self) -> None:
        """Tell the follower that something was committed."""
        self._wakened.set()

    def find(self, collection: str) -> ServingRelease | None:
        """The active release of a collection, if it is in memory."""
        return self._by_name.get(collection)

    async def get(self, collection: str) -> ServingRelease:
        """The active release of a collection; one that is just being loaded is waited for.

        Raises:
            NotFoundError: There is no such collection.
            NotReadyError: It cannot be loaded, or not so fast.
        """
        found = self._by_name.get(collection)
        if found is not None:
            return found
        collection_id = await self._database.read_async(
            lambda session: CollectionRepository(session).get(collection).id
        )
        deadline = time.monotonic() + LOAD_WAIT_S
        while time.monotonic() < deadline:
            if (found := self._by_name.get(collection)) is not None:
                return found
            if (failure := self._failures.get(collection_id)) is not None:
                raise NotReadyError(f"collection {collection!r} cannot be served: {failure.reason}")
            await asyncio.sleep(0.02)
        raise NotReadyError(f"collection {collection!r} is being loaded: try again in a few seconds")

    def status(self, collection_id: int) -> ServingStatus | None:
        """What is in memory of a collection."""
        release = self._by_id.get(collection_id)
        if release is None:
            return None
        stats = release.index.stats()
        return ServingStatus(stats.applied_seq, stats.index_recall)

    async def wait_visible(self, collection_id: int, seq: int) -> bool:
        """Wait until searches find the change; False when it takes too long."""
        return await self._visibility.wait(collection_id, seq, self._wait_visible_s)

    def forget(self, collection_id: int) -> None:
        """Answer no more for a collection that was just deleted; the follower clears up."""
        with self._naming:
            self._forgotten.add(collection_id)
            self._by_name = {n: r for n, r in self._by_name.items() if r.key.collection_id != collection_id}
        self.wake()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wakened.clear()
            try:
                more = self._round()
            except Exception:  # the database may be away for a while
                _log.exception("follower_round_failed")
                more = False
                self._stopping.wait(_RETRY_S / 5)
            if not more:
                self._wakened.wait(self._poll_s)

    def _round(self) -> bool:
        """Bring every collection one step further; True when there is more to do at once."""
        active = self._database.read(list_active)
        self._drop_all_but({release.key.collection_id for release in active})
        more = False
        for release in active:
            if self._stopping.is_set():
                return False
            more |= self._guarded(release)
        self._publish(active)
        self._synced.set()
        return more

    def _guarded(self, active: ActiveRelease) -> bool:
        """One collection's trouble is not the others'."""
        collection_id = active.key.collection_id
        failure = self._failures.get(collection_id)
        if failure is not None and time.monotonic() < failure.retry_at:
            return False
        try:
            more = self._bring_up(active)
        except Exception as error:
            _log.exception("collection_failed", collection=active.key.collection)
            self._failures[collection_id] = _Failure(str(error) or repr(error), time.monotonic() + _RETRY_S)
            self._by_id.pop(collection_id, None)  # in doubt it is loaded again
            return False
        self._failures.pop(collection_id, None)
        return more

    def _bring_up(self, active: ActiveRelease) -> bool:
        release = self._by_id.get(active.key.collection_id)
        if release is None or release.key != active.key:
            release = self._by_id[active.key.collection_id] = self._loader.load(active)
            self._visibility.advance(active.key.collection_id, release.index.applied_seq)
            self._publish_one(release)
        if release.index.applied_seq < active.last_seq and apply_changes(self._database, release):
            self._housekeeper.changed(release)
            self._visibility.advance(active.key.collection_id, release.index.applied_seq)
        self._housekeeper.consider(release)
        return release.index.applied_seq < active.last_seq

    def _publish_one(self, release: ServingRelease) -> None:
        with self._naming:
            if release.key.collection_id not in self._forgotten:
                self._by_name = {**self._by_name, release.key.collection: release}

    def _publish(self, active: list[ActiveRelease]) -> None:
        with self._naming:
            numbers = {release.key.collection: release.key.collection_id for release in active}
            self._by_name = {
                name: self._by_id[number]
                for name, number in numbers.items()
                if number in self._by_id and number not in self._forgotten
            }

    def _drop_all_but(self, collection_ids: set[int]) -> None:
        for collection_id in self._by_id.keys() - collection_ids:
            release = self._by_id.pop(collection_id)
            self._visibility.drop(collection_id)
            with self._naming:
                self._forgotten.discard(collection_id)
            shutil.rmtree(self._data / "collections" / str(collection_id), ignore_errors=True)
            _log.info("collection_dropped", collection=release.key.collection)
        for collection_id in self._failures.keys() - collection_ids:
            del self._failures[collection_id]
