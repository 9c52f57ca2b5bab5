"""What requests see of the releases in memory; behind it the follower keeps them up to date."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from app.collection.repository import CollectionRepository
from app.db import Database
from app.errors import NotReadyError
from app.serving.follower import Follower
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.release import ServingRelease
from app.serving.roster import Roster
from app.serving.visibility import Visibility

LOAD_WAIT_S: Final = 5.0
"""How long a search waits for a collection that is being loaded."""


@dataclass(frozen=True, slots=True)
class ServingStatus:
    """What is in memory of a collection."""

    visible_seq: int
    index_recall: float


class Serving:
    """The releases in memory.

    Args:
        database: The truth.
        loader: Brings a release into memory.
        housekeeper: Compacts and saves.
        poll_s: How often to look for changes that nobody here announced.
        wait_visible_s: How long `wait_visible` waits at most.
    """

    def __init__(
        self, database: Database, loader: Loader, housekeeper: Housekeeper, *, poll_s: float, wait_visible_s: float
    ) -> None:
        self._database = database
        self._housekeeper = housekeeper
        self._wait_visible_s = wait_visible_s
        self._visibility = Visibility()
        self._roster = Roster()
        self._follower = Follower(database, loader, housekeeper, self._roster, self._visibility, poll_s=poll_s)

    def start(self) -> None:
        """Begin to load and to follow."""
        self._follower.start()

    def stop(self) -> None:
        """Stop following and save what is not saved."""
        self._housekeeper.save(self._follower.stop())

    @property
    def is_alive(self) -> bool:
        """Whether changes are still being followed."""
        return self._follower.is_alive

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

    def wake(self) -> None:
        """Tell the follower that something was committed."""
        self._follower.wake()

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
        raise NotReadyError(f"collection {collection!r} is being loaded: try again in a few seconds")

    def status(self, collection_id: int) -> ServingStatus | None:
        """What is in memory of a collection."""
        release = self._roster.find_by_id(collection_id)
        if release is None:
            return None
        view = release.view
        return ServingStatus(view.applied_seq, view.index.base.index_recall)

    async def wait_visible(self, collection_id: int, seq: int) -> bool:
        """Wait until searches find the change; False when it takes too long."""
        return await self._visibility.wait(collection_id, seq, self._wait_visible_s)

    def forget(self, collection_id: int) -> None:
        """Answer no more for a collection that was just deleted; the follower clears up."""
        self._roster.forget(collection_id)
        self._visibility.drop(collection_id)
        self._follower.wake()
