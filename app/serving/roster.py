"""Which releases answer: looked up by any thread, changed by the follower and by whoever deletes a collection."""

import threading
from collections.abc import Set

from app.serving.release import ServingRelease


class Roster:
    """The releases in memory, one a collection."""

    def __init__(self) -> None:
        self._changing = threading.Lock()  # guards the replacing of both dicts, and _forgotten
        self._by_id: dict[int, ServingRelease] = {}
        self._by_name: dict[str, ServingRelease] = {}  # replaced as a whole, so that readers need no lock
        self._forgotten: set[int] = set()

    def find(self, collection: str) -> ServingRelease | None:
        """The release of a collection that answers, by the collection's name."""
        return self._by_name.get(collection)

    def find_by_id(self, collection_id: int) -> ServingRelease | None:
        """The release of a collection, by its id."""
        return self._by_id.get(collection_id)

    @property
    def releases(self) -> list[ServingRelease]:
        """Every release that answers."""
        return list(self._by_name.values())

    def put(self, release: ServingRelease) -> None:
        """Let a release answer in place of the one before; not where the collection was forgotten meanwhile."""
        with self._changing:
            if release.key.collection_id not in self._forgotten:
                self._replace({**self._by_id, release.key.collection_id: release})

    def forget(self, collection_id: int) -> None:
        """Answer no more for a collection, which must never come back."""
        with self._changing:
            self._forgotten.add(collection_id)
            self._replace({number: release for number, release in self._by_id.items() if number != collection_id})

    def keep_only(self, collection_ids: Set[int]) -> None:
        """Answer no more for collections that are gone."""
        with self._changing:
            self._forgotten &= collection_ids  # what is gone for good need not be remembered
            if not self._by_id.keys() <= collection_ids:
                self._replace({number: r for number, r in self._by_id.items() if number in collection_ids})

    def _replace(self, by_id: dict[int, ServingRelease]) -> None:
        self._by_id = by_id
        self._by_name = {release.key.collection: release for release in by_id.values()}
