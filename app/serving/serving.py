"""What requests see of the releases in memory; behind it the follower keeps them up to date."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.errors import ErasureError, NotReadyError
from app.serving.follower import Failure, Follower
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.orders import Orders
from app.serving.release import ServingRelease
from app.serving.roster import Roster
from app.serving.upkeep import Upkeep
from app.serving.visibility import Visibility
from index.state import IndexStats

LOAD_WAIT_S: Final = 5.0
"""How long a search waits for a collection that is being loaded."""

_SWAP_LOOK_S: Final = 0.005

_NOT_SAVED: Final = (
    "the records are deleted, but older snapshots hold them still, since no new one could be written: "
    "look at the server's log, at the disk's free space and at the index server, then repeat the request"
)


@dataclass(frozen=True, slots=True)
class ServingStatus:
    """What is in memory of a collection.

    Attributes:
        visible_seq: Searches find every change up to it.
        uncompacted: Changes since the snapshot.
        index: What the index consists of.
    """

    visible_seq: int
    uncompacted: int
    index: IndexStats


class Serving:
    """The releases in memory.

    Args:
        database: The truth.
        loader: Brings a release into memory.
        housekeeper: Compacts and saves.
        orders: Of compactions and rebuilds.
        poll_s: How often to look for changes that nobody here announced.
        wait_visible_s: How long `wait_visible` waits at most.
        observe_lag: Hears how long writes took to become searchable, in seconds.
    """

    def __init__(
        self,
        database: Database,
        loader: Loader,
        housekeeper: Housekeeper,
        *,
        orders: Orders,
        poll_s: float,
        wait_visible_s: float,
        observe_lag: Callable[[float], None],
    ) -> None:
        self._database = database
        self._housekeeper = housekeeper
        self._wait_visible_s = wait_visible_s
        self._visibility = Visibility()
        self._roster = Roster()
        self._follower = Follower(
            database,
            loader,
            housekeeper,
            self._roster,
            self._visibility,
            poll_s=poll_s,
            observe_lag=observe_lag,
        )
        self._upkeep = Upkeep(database, orders, housekeeper, loader, self._roster, self._follower.reload)

    def start(self) -> None:
        """Begin to load and to follow."""
        self._follower.start()
        self._database.listen(self.wake)
        self._upkeep.start()

    def stop(self) -> None:
        """Stop following and save what is not saved."""
        self._upkeep.stop()
        self._housekeeper.save(self._follower.stop())

    @property
    def is_alive(self) -> bool:
        """Whether changes are still being followed, and indexes looked after."""
        return self._follower.is_alive and self._upkeep.is_alive

    @property
    def is_ready(self) -> bool:
        """Whether every collection was loaded, or tried, once."""
        return self._follower.is_synced

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._follower.is_stopping

    @property
    def releases(self) -> list[ServingRelease]:
        """What is in memory now."""
        return self._roster.releases

    @property
    def failing(self) -> dict[int, str]:
        """Why collections are not in memory or not up to date, by collection_id."""
        return self._follower.failing

    def wake(self, *, urgent: bool = True) -> None:
        """Tell the follower that something was committed, and whether anybody waits for it."""
        self._follower.wake(urgent=urgent)

    def visible_seq(self, collection_id: int) -> int | None:
        """The last change of a collection that searches find; None where it is not in memory."""
        release = self._roster.find_by_id(collection_id)
        return None if release is None else release.applied_seq

    def find(self, collection: str) -> ServingRelease | None:
        """The active release of a collection, if it is in memory."""
        return self._roster.find(collection)

    async def get(self, collection: str) -> ServingRelease:
        """The active release of a collection; one that is just being loaded is waited for.

        Raises:
            NotFoundError: There is no such collection.
            NotReadyError: It cannot be loaded, or not so fast.
        """
        found = self._roster.find(collection)
        if found is not None:
            return found
        collection_id = await self._database.read_async(
            lambda session: CollectionRepository(session).get(collection).id
        )
        deadline = time.monotonic() + LOAD_WAIT_S
        while time.monotonic() < deadline:
            if (found := self._roster.find(collection)) is not None:
                return found
            if (reason := self._follower.failing.get(collection_id)) is not None:
                raise NotReadyError(f"collection {collection!r} cannot be served: {reason}")
            await asyncio.sleep(0.02)
        coming = next(iter(self._roster.of_collection(collection_id)), None)
        behind = None if coming is None else self._follower.behind(coming.key.release_id)
        to_go = f", {behind} changes are still to be applied" if behind else ""
        raise NotReadyError(f"collection {collection!r} is being loaded{to_go}: try again in a few seconds")

    def find_warm(self, collection_id: int, number: int) -> ServingRelease | None:
        """A release that does not answer but could, by its number."""
        return self._roster.find_warm(collection_id, number)

    def find_shadow(self, collection_id: int) -> ServingRelease | None:
        """The warm release of a collection that is asked what the one that answers is asked."""
        return self._roster.find_shadow(collection_id)

    def behind(self, release_id: int) -> int | None:
        """Changes that a release of this server lacked at the last look; None where it is not in memory."""
        return self._follower.behind(release_id)

    def failure(self, release_id: int) -> Failure | None:
        """Why a release is not in memory or not up to date, if something is wrong with it."""
        return self._follower.failure(release_id)

    async def wait_answering(self, collection_id: int, number: int) -> bool:
        """Wait until a release answers; false when it takes too long."""
        deadline = time.monotonic() + self._wait_visible_s
        while time.monotonic() < deadline:
            release = self._roster.find_by_id(collection_id)
            if release is not None and release.key.number == number:
                return True
            await asyncio.sleep(_SWAP_LOOK_S)
        return False

    def lag(self, collection_id: int) -> int:
        """Changes that searches of a collection did not find yet when the follower looked last."""
        release = self._roster.find_by_id(collection_id)
        return 0 if release is None else self._follower.behind(release.key.release_id) or 0

    def status(self, collection_id: int) -> ServingStatus | None:
        """What is in memory of a collection."""
        release = self._roster.find_by_id(collection_id)
        if release is None:
            return None
        view = release.view
        return ServingStatus(view.applied_seq, view.n_changes, view.index.stats())

    async def wait_visible(self, collection_id: int, seq: int) -> bool:
        """Wait until searches find the change; False when it takes too long."""
        return await self._visibility.wait(collection_id, seq, self._wait_visible_s)

    async def purge(self, collection_id: int, seq: int) -> None:
        """Have no copy of what was deleted up to `seq`, neither in the index nor in a snapshot.

        Raises:
            ErasureError: A release in memory is behind, or the disk or the index server refused.
        """
        deadline = time.monotonic() + self._wait_visible_s
        while held := await self._caught_up(collection_id, seq):
            if await asyncio.wrap_future(self._housekeeper.purge(held)):
                return
            if not any(release.is_stale for release in held) or time.monotonic() > deadline:
                raise ErasureError(_NOT_SAVED)
            self._follower.wake()  # to load them again: another server has erased too, and removed what they rest on
        raise ErasureError("the records are deleted, but the index has not caught up: repeat the request soon")

    async def _caught_up(self, collection_id: int, seq: int) -> list[ServingRelease]:
        """All that is in memory of a collection, once none of it lacks the change, or is to be loaded again; nothing
        where it takes too long.
        """
        deadline = time.monotonic() + self._wait_visible_s
        is_visible = await self.wait_visible(collection_id, seq)
        while is_visible and time.monotonic() < deadline:
            held = self._roster.of_collection(collection_id)
            if all(release.applied_seq >= seq and not release.is_stale for release in held):
                return held
            await asyncio.sleep(_SWAP_LOOK_S)  # those beside the one that answers come when there is time
        return []

    def forget(self, collection_id: int) -> None:
        """Answer no more for a collection that was just deleted; the follower clears up."""
        self._roster.forget(collection_id)
        self._visibility.drop(collection_id)
        self._follower.wake()
