"""Which releases are in memory: for any thread; changed by the follower and by whoever deletes a collection."""

import threading
from collections.abc import Set

from app.serving.release import ServingRelease


class Roster:
    """The releases in memory: one of each collection answers, others are warm beside it."""

    def __init__(self) -> None:
        self._changing = threading.Lock()  # guards the replacing of the dicts, and _forgotten
        self._by_id: dict[int, ServingRelease] = {}
        self._by_name: dict[str, ServingRelease] = {}  # replaced as a whole, so that readers need no lock
        self._warm: dict[tuple[int, int], ServingRelease] = {}  # by collection_id and number, replaced as a whole
        self._shadows: dict[int, ServingRelease] = {}  # by collection_id: the warm ones that are asked too
        self._forgotten: set[int] = set()

    def find(self, collection: str) -> ServingRelease | None:
        """The release of a collection that answers, by the collection's name."""
        return self._by_name.get(collection)

    def find_by_id(self, collection_id: int) -> ServingRelease | None:
        """The release of a collection that answers, by the collection's id."""
        return self._by_id.get(collection_id)

    def find_warm(self, collection_id: int, number: int) -> ServingRelease | None:
        """A release that does not answer but could, by its number."""
        return self._warm.get((collection_id, number))

    def find_shadow(self, collection_id: int) -> ServingRelease | None:
        """The warm release of a collection that is asked what the one that answers is asked."""
        return self._shadows.get(collection_id)

    def of_collection(self, collection_id: int) -> list[ServingRelease]:
        """All that is in memory of a collection, the one that answers first."""
        active = self._by_id.get(collection_id)
        warm = [release for release in self._warm.values() if release.key.collection_id == collection_id]
        return [*([active] if active is not None else []), *warm]

    @property
    def releases(self) -> list[ServingRelease]:
        """Every release that answers."""
        return list(self._by_name.values())

    def put(self, release: ServingRelease) -> None:
        """Let a release answer in place of the one before; not where the collection was forgotten meanwhile."""
        with self._changing:
            if release.key.collection_id not in self._forgotten:
                self._replace({**self._by_id, release.key.collection_id: release})
                self._cool(_place(release))

    def keep_warm(self, release: ServingRelease) -> None:
        """Have a release at hand that does not answer."""
        with self._changing:
            if release.key.collection_id not in self._forgotten:
                self._set_warm({**self._warm, _place(release): release})

    def drop(self, release: ServingRelease) -> None:
        """Have it at hand no longer, where it is warm."""
        with self._changing:
            self._cool(_place(release))

    def forget(self, collection_id: int) -> None:
        """Answer no more for a collection, which must never come back."""
        with self._changing:
            self._forgotten.add(collection_id)
            self._remove({collection_id})

    def keep_only(self, collection_ids: Set[int]) -> None:
        """Answer no more for collections that are gone."""
        with self._changing:
            self._forgotten &= collection_ids  # what is gone for good need not be remembered
            if gone := {*self._by_id, *(number for number, _ in self._warm)} - collection_ids:
                self._remove(gone)

    def _remove(self, collection_ids: Set[int]) -> None:
        self._replace({number: release for number, release in self._by_id.items() if number not in collection_ids})
        self._set_warm({place: release for place, release in self._warm.items() if place[0] not in collection_ids})

    def _cool(self, place: tuple[int, int]) -> None:
        if place in self._warm:
            self._set_warm({other: release for other, release in self._warm.items() if other != place})

    def _set_warm(self, warm: dict[tuple[int, int], ServingRelease]) -> None:
        self._warm = warm
        self._shadows = {release.key.collection_id: release for release in warm.values() if release.shadow_share}

    def _replace(self, by_id: dict[int, ServingRelease]) -> None:
        self._by_id = by_id
        self._by_name = {release.key.collection: release for release in by_id.values()}


def _place(release: ServingRelease) -> tuple[int, int]:
    return release.key.collection_id, release.key.number
