"""The releases that one server holds in memory, and how each comes one step further. For the follower's thread."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import structlog

from app.db.database import Database
from app.errors import NotReadyError
from app.priority import let_others_go_first
from app.serving.applying import CHANGES_AT_ONCE, apply_changes
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.release import ServingRelease, View
from app.serving.repository import WantedRelease
from app.serving.roster import Roster
from app.serving.visibility import Visibility
from index.snapshot import latest_snapshot

_WARM_AT_ONCE: Final = 128
"""Changes applied to a warm release before those that answer are looked after again: a few milliseconds' worth."""

_LOOK_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Holder:
    """Loads releases, applies changes to them, and lets the right one of each collection answer.

    Args:
        database: The truth.
        loader: Brings a release into memory.
        housekeeper: Compacts, saves, and removes what is left of releases that are gone.
        roster: Told which releases answer, and which are warm.
        visibility: Told which changes can be found.
        is_stopping: When it comes true, what takes long is given up.
        wake: Called, from another thread, when there is more to do.
    """

    def __init__(
        self,
        database: Database,
        loader: Loader,
        housekeeper: Housekeeper,
        roster: Roster,
        visibility: Visibility,
        *,
        is_stopping: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        self._database, self._loader, self._housekeeper = database, loader, housekeeper
        self._roster, self._visibility = roster, visibility
        self._is_stopping, self._wake = is_stopping, wake
        self._beside = ThreadPoolExecutor(1, "loading", initializer=let_others_go_first)
        self._loading: dict[int, Future[ServingRelease]] = {}  # by release_id: what is loaded there
        self._held: dict[int, ServingRelease] = {}  # by release_id
        self._looked_at: dict[int, float] = {}  # by release_id: when newer snapshots were looked for
        self._reloads: set[int] = set()  # release_ids of those to load again; added to by any thread
        self._owed: dict[int, int] = {}  # by release_id: see `owing`
        self.behind: dict[int, int] = {}
        """Changes that are not in a release yet, by release_id, as of the last look; read by any thread."""

    @property
    def held(self) -> list[ServingRelease]:
        """What is in memory."""
        return list(self._held.values())

    @property
    def owing(self) -> set[int]:
        """release_ids of those that shall answer, and lack changes which were acknowledged before they were loaded."""
        return set(self._owed)

    def is_loading(self, release_id: int) -> bool:
        """Whether it is being loaded beside the caller's thread."""
        return release_id in self._loading

    def stop(self) -> None:
        """Give up what is being loaded."""
        self._beside.shutdown(cancel_futures=True)

    def reload(self, release_id: int) -> None:
        """Load a release again, from its newest snapshot, at the next step."""
        self._reloads.add(release_id)

    def bring_up(self, wanted: WantedRelease, *, in_doubt: bool) -> bool:
        """Bring a release one step further; true when there is more to do at once.

        Args:
            wanted: Which one.
            in_doubt: Load it anew, since something went wrong with what is in memory.
        """
        answering = self._roster.find_by_id(wanted.key.collection_id)
        release = self._held.get(wanted.key.release_id)
        is_full = release is not None and self._housekeeper.is_full(release)
        is_loading = self.is_loading(wanted.key.release_id)
        if release is None or in_doubt or is_loading or release.is_stale or self._is_outdated(release):
            if not wanted.is_active and not self._loads_at_once(wanted):
                return False
            release = self._load(wanted)
        elif release.applied_seq != wanted.last_seq and not is_full:  # ahead of a database that lost changes
            self._apply(release, CHANGES_AT_ONCE if wanted.is_active else _WARM_AT_ONCE)
        release.erasures = wanted.erasures  # before it answers
        if not wanted.is_active:
            self._owed.pop(wanted.key.release_id, None)
            release.shadow_share = wanted.shadow_share or 0.0
            self._keep_warm(release, answering)
        elif answering is None and self._owes(release, wanted):
            self._keep_warm(release, answering)  # compacted as others are, while it comes further round by round
        else:
            if release is not answering:
                self._let_answer(release, wanted, answering)
            self._visibility.advance(wanted.key.collection_id, release.applied_seq)
        release.target_recall, release.keeping = wanted.target_recall, wanted.keeping
        self._housekeeper.consider(release)
        behind = self.behind[wanted.key.release_id] = max(0, wanted.last_seq - release.applied_seq)
        return behind > 0 and not is_full

    def drop_all_but(self, wanted: Iterable[WantedRelease]) -> None:
        """Forget releases that are not wanted any more, and remove what is saved of them."""
        keys = [release.key for release in wanted]
        release_ids, collection_ids = {key.release_id for key in keys}, {key.collection_id for key in keys}
        shas = {key.encoder_sha for key in keys}
        self._roster.keep_only(collection_ids)
        self._housekeeper.tidy_server(self._roster.releases)
        for release_id in self._loading.keys() - release_ids:
            self._give_up_loading(release_id)
        for release_id in self._held.keys() - release_ids:
            release = self._held.pop(release_id)
            self._owed.pop(release_id, None)
            self.behind.pop(release_id, None)
            self._looked_at.pop(release_id, None)
            self._drop(release, with_collection=release.key.collection_id not in collection_ids)
            if release.key.encoder_sha not in shas:
                self._loader.forget(release.key.encoder_sha)

    def _drop(self, release: ServingRelease, *, with_collection: bool) -> None:
        self._roster.drop(release)
        if with_collection:
            self._visibility.drop(release.key.collection_id)
        self._housekeeper.remove(release, with_collection=with_collection)
        _log.info("release_dropped", collection=release.key.collection, release=release.key.number)

    def _loads_at_once(self, wanted: WantedRelease) -> bool:
        """Whether `_load` takes no time: without a snapshot it takes as long as to encode all records, which is done
        beside this thread, as others are to be followed.
        """
        release_id = wanted.key.release_id
        if release_id not in self._loading:
            if latest_snapshot(wanted.key.folder(self._housekeeper.data)) is not None:
                return True
            loading = self._beside.submit(self._loader.load, wanted, is_stopping=self._is_stopping)
            self._loading[release_id] = loading
            loading.add_done_callback(lambda _: self._wake())
        return self._loading[release_id].done()

    def _load(self, wanted: WantedRelease) -> ServingRelease:
        loading = self._loading.pop(wanted.key.release_id, None)
        if loading is None or loading.cancel():
            release = self._loader.load(wanted, is_stopping=self._is_stopping)
        else:
            release = loading.result()
        self._held[wanted.key.release_id] = release
        self._owed.pop(wanted.key.release_id, None)
        self._housekeeper.loaded(release)
        return release

    def _give_up_loading(self, release_id: int) -> None:
        """Have what is not wanted any more dropped, with what loading has saved, once it is loaded."""
        loading = self._loading[release_id]
        is_cancelled = loading.cancel()
        if not loading.done():  # it is asked once: it may end at any moment
            return
        del self._loading[release_id]
        if not is_cancelled and loading.exception() is None:
            self._held[release_id] = loading.result()

    def _apply(self, release: ServingRelease, limit: int) -> None:
        if apply_changes(self._database, release, limit=limit):
            self._housekeeper.changed(release)

    def _owes(self, release: ServingRelease, wanted: WantedRelease) -> bool:
        """Whether it lacks changes that were acknowledged before it was here: a restart must not lose them."""
        return release.applied_seq < self._owed.setdefault(wanted.key.release_id, wanted.last_seq)

    def _let_answer(self, release: ServingRelease, wanted: WantedRelease, answering: ServingRelease | None) -> None:
        """Replace one reference, once nothing is missing in what answers then: another release is to have all that was
        acknowledged, the same loaded again what was found already; the rest comes round by round.
        """
        last_seq = 0 if answering is None else answering.applied_seq  # without one: see `_owes`
        if answering is not None and answering.key.release_id != release.key.release_id:
            last_seq = max(wanted.last_seq, last_seq)
        donor = _donor(release, answering)
        while release.applied_seq < last_seq and apply_changes(self._database, release, donor=donor):
            if self._is_stopping():
                raise NotReadyError("the server is stopping")
        self._housekeeper.changed(release)
        self._roster.put(release)
        self._owed.pop(wanted.key.release_id, None)
        if answering is not None and answering.key.release_id != release.key.release_id:
            self._keep_warm(answering, release)
        _log.info(
            "release_answers",
            collection=release.key.collection,
            release=release.key.number,
            before=None if answering is None else answering.key.number,
            applied_seq=release.applied_seq,
        )

    def _keep_warm(self, release: ServingRelease, answering: ServingRelease | None) -> None:
        """Have it at hand, unless it still answers: what shall take over from it is not loaded yet."""
        if release is not answering and release.key.release_id in self._held:
            self._roster.keep_warm(release)

    def _is_outdated(self, release: ServingRelease) -> bool:
        """Whether there is a snapshot to go on from: one that was rebuilt, or one of another server."""
        release_id, now = release.key.release_id, time.monotonic()
        if release_id in self._reloads:
            self._reloads.discard(release_id)
            return True
        if now - self._looked_at.get(release_id, 0.0) < _LOOK_S:
            return False
        self._looked_at[release_id] = now
        return self._housekeeper.has_newer(release)


def _donor(release: ServingRelease, answering: ServingRelease | None) -> View | None:
    """What has vectors of the same encoder, and is further."""
    same_encoder = answering is not None and answering.key.encoder_sha == release.key.encoder_sha
    return answering.view if answering is not None and same_encoder else None
