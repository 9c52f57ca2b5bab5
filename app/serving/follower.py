"""The one thread that brings releases into memory and follows the change log."""

import threading
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Final

import structlog

from app.db import Database
from app.errors import NotReadyError, UnavailableError
from app.priority import let_others_go_first
from app.serving.following import apply_changes
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.release import ServingRelease
from app.serving.repository import ActiveRelease, list_active
from app.serving.roster import Roster
from app.serving.visibility import Visibility

_GATHER_S: Final = 0.01
"""So long changes that nobody waits for are gathered: a round costs as much as ten of them."""

_RETRY_S: Final = 5.0
_LOOK_S: Final = 1.0
_AWAY_S: Final = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a release cannot be loaded or brought up to date, and when to try again."""

    reason: str
    retry_at: float


class Follower:
    """Brings every collection up to date, round after round.

    Args:
        database: The truth.
        loader: Brings a release into memory.
        housekeeper: Compacts, saves, and removes what is left of deleted collections.
        roster: Told which releases answer.
        visibility: Told which changes can be found.
        poll_s: How often to look for changes that nobody here announced.
        is_shared: Whether other servers save snapshots in the same folder.
        observe_lag: Hears how long it took from the first `wake` until all was searchable, in seconds.
    """

    def __init__(
        self,
        database: Database,
        loader: Loader,
        housekeeper: Housekeeper,
        roster: Roster,
        visibility: Visibility,
        *,
        poll_s: float,
        is_shared: bool,
        observe_lag: Callable[[float], None],
    ) -> None:
        self._database = database
        self._is_shared = is_shared
        self._loader = loader
        self._housekeeper = housekeeper
        self._roster = roster
        self._visibility = visibility
        self._poll_s = poll_s
        self._observe_lag = observe_lag
        self._woken_at: float | None = None  # the first wake that is not followed yet
        self.behind: dict[int, int] = {}
        """Changes that were not searchable yet at the last look, by collection_id; replaced by the thread only."""
        self._releases: dict[int, ServingRelease] = {}  # by collection_id; touched by the thread only, until it ends
        self._failures: dict[int, _Failure] = {}
        self._looked_at: dict[int, float] = {}  # when newer snapshots were looked for
        self._reloads: set[int] = set()  # collections to load again; added to by any thread
        self._wakened = threading.Event()
        self._urgent = threading.Event()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> list[ServingRelease]:
        """End.

        Returns:
            What is in memory.
        """
        self._stopping.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join()
        return list(self._releases.values())

    def wake(self, *, urgent: bool = True) -> None:
        """Say that something was committed, and whether anybody waits for it."""
        if self._woken_at is None:
            self._woken_at = time.monotonic()
        if urgent:
            self._urgent.set()
        self._wakened.set()

    def reload(self, collection_id: int) -> None:
        """Load a collection's release again, from its newest snapshot."""
        self._reloads.add(collection_id)
        self.wake()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def is_synced(self) -> bool:
        """Whether every collection was loaded, or tried, once."""
        return self._synced.is_set()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def failing(self) -> dict[int, str]:
        """Why collections are not in memory or not up to date, by collection_id."""
        return {collection_id: failure.reason for collection_id, failure in self._failures.copy().items()}

    def _run(self) -> None:
        let_others_go_first()
        while not self._stopping.is_set():
            self._wakened.clear()
            self._urgent.clear()
            woken_at, self._woken_at = self._woken_at, None
            try:
                more = self._round()
                if more:
                    self._woken_at = woken_at
                elif woken_at is not None:
                    self._observe_lag(time.monotonic() - woken_at)
            except Exception as error:  # the database may be away for a while
                more = False
                if not self._stopping.is_set():
                    _log.warning("follower_round_failed", error=repr(error), exc_info=_unexpected(error))
                    self._stopping.wait(_AWAY_S)
            if not more and self._wakened.wait(self._poll_s):
                self._urgent.wait(_GATHER_S)

    def _round(self) -> bool:
        """Bring every collection one step further; True when there is more to do at once."""
        active = self._database.read(list_active)
        self._clear_up({release.key.collection_id for release in active})
        more = False
        for release in active:
            if self._stopping.is_set():
                return False
            more |= self._guarded(release)
        self._synced.set()
        return more

    def _guarded(self, active: ActiveRelease) -> bool:
        """One collection's trouble is not the others'; what answers goes on answering."""
        collection_id = active.key.collection_id
        failure = self._failures.get(collection_id)
        if failure is not None and time.monotonic() < failure.retry_at:
            return False
        try:
            more = self._bring_up(active, in_doubt=failure is not None)
        except UnavailableError:
            raise  # the database is away, or we are to stop: nothing is wrong with the collection
        except Exception as error:
            _log.exception("collection_failed", collection=active.key.collection)
            self._failures[collection_id] = _Failure(str(error) or repr(error), time.monotonic() + _RETRY_S)
            return False
        self._failures.pop(collection_id, None)
        return more

    def _bring_up(self, active: ActiveRelease, *, in_doubt: bool) -> bool:
        release = self._releases.get(active.key.collection_id)
        is_full = release is not None and self._housekeeper.is_full(release)
        if release is None or release.key != active.key or in_doubt or self._is_outdated(release):
            release = self._load(active, release)
            self._releases[active.key.collection_id] = release
            self._roster.put(release)
            self._visibility.advance(active.key.collection_id, release.applied_seq)
        elif release.applied_seq < active.last_seq and not is_full and apply_changes(self._database, release):
            self._housekeeper.changed(release)
            self._visibility.advance(active.key.collection_id, release.applied_seq)
        release.target_recall, release.keeping = active.target_recall, active.keeping
        self._housekeeper.consider(release)
        behind = self.behind[active.key.collection_id] = max(0, active.last_seq - release.applied_seq)
        return behind > 0 and not is_full

    def _is_outdated(self, release: ServingRelease) -> bool:
        """Whether there is a snapshot to go on from: one that was rebuilt, or one of another server."""
        collection_id, now = release.key.collection_id, time.monotonic()
        if collection_id in self._reloads:
            self._reloads.discard(collection_id)
            return True
        if not self._is_shared or now - self._looked_at.get(collection_id, 0.0) < _LOOK_S:
            return False
        self._looked_at[collection_id] = now
        return self._loader.has_newer(release)

    def _load(self, active: ActiveRelease, before: ServingRelease | None) -> ServingRelease:
        """Load a release and bring it up to date before it answers: nothing acknowledged is missing after a restart."""
        release = self._loader.load(active, is_stopping=self._stopping.is_set)
        same_encoder = before is not None and before.key.encoder_sha == active.key.encoder_sha
        donor = before.view if before is not None and same_encoder else None
        last_seq = max(active.last_seq, 0 if before is None else before.applied_seq)
        while release.applied_seq < last_seq and apply_changes(self._database, release, donor=donor):
            if self._stopping.is_set():
                raise NotReadyError("the server is stopping")
        self._housekeeper.changed(release)
        return release

    def _clear_up(self, active: Set[int]) -> None:
        """Forget what belongs to collections that are gone."""
        self._roster.keep_only(active)
        for collection_id in self._releases.keys() - active:
            release = self._releases.pop(collection_id)
            self._visibility.drop(collection_id)
            self.behind.pop(collection_id, None)
            self._housekeeper.remove(release)
            _log.info("collection_dropped", collection=release.key.collection)
        for collection_id in self._failures.keys() - active:
            del self._failures[collection_id]
        if not self._synced.is_set():
            self._housekeeper.remove_all_but(active)


def _unexpected(error: Exception) -> bool:
    """Whether the log should show the traceback: of a database that is away it would say nothing."""
    return not isinstance(error, UnavailableError)
