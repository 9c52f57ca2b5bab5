"""The one thread that brings releases into memory and follows the change log."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from app.db.database import Database
from app.errors import UnavailableError
from app.priority import let_others_go_first
from app.serving.holding import Holder
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.release import ServingRelease
from app.serving.repository import LogTrimmedError, WantedRelease, list_wanted
from app.serving.roster import Roster
from app.serving.visibility import Visibility
from index.errors import IndexServerError

_GATHER_S: Final = 0.01
"""So long changes that nobody waits for are gathered: a round costs as much as ten of them."""

_RETRY_S: Final = 5.0
_WARM_ROUNDS: Final = 8
"""Where writes never pause, warm releases are brought on every so many rounds all the same."""

_AWAY_S: Final = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a release cannot be loaded or brought up to date.

    Attributes:
        wanted: Which one.
        reason: What went wrong the last time.
        times: How often it went wrong, one after the other.
        retry_at: When to try again, by time.monotonic().
    """

    wanted: WantedRelease
    reason: str
    times: int
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
        observe_lag: Callable[[float], None],
    ) -> None:
        self._database = database
        self._housekeeper = housekeeper
        self._poll_s = poll_s
        self._observe_lag = observe_lag
        self._woken_at: float | None = None  # the first wake that is not followed yet
        self._failures: dict[int, Failure] = {}  # by release_id
        self._rounds = 0
        self._wakened = threading.Event()
        self._urgent = threading.Event()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._holder = Holder(
            database,
            loader,
            housekeeper,
            roster,
            visibility,
            is_stopping=self._stopping.is_set,
            wake=self.wake,
        )

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
        self._holder.stop()
        return self._holder.held

    def wake(self, *, urgent: bool = True) -> None:
        """Say that something was committed, and whether anybody waits for it."""
        if self._woken_at is None:
            self._woken_at = time.monotonic()
        if urgent:
            self._urgent.set()
        self._wakened.set()

    def reload(self, release_id: int) -> None:
        """Load a release again, from its newest snapshot."""
        self._holder.reload(release_id)
        self.wake()

    def behind(self, release_id: int) -> int | None:
        """Changes that a release lacked at the last look; None where it is not in memory."""
        return self._holder.behind.get(release_id)

    def failure(self, release_id: int) -> Failure | None:
        """Why a release is not in memory or not up to date, if something is wrong with it."""
        return self._failures.get(release_id)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def is_synced(self) -> bool:
        """Whether every collection was loaded and has caught up, or tried, once."""
        return self._synced.is_set()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def failing(self) -> dict[int, str]:
        """Why collections do not answer or are not up to date, by collection_id."""
        failures = self._failures.copy().values()
        return {found.wanted.key.collection_id: found.reason for found in failures if found.wanted.is_active}

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
        """Bring every release one step further; True when there is more to do at once."""
        folders = [] if self._synced.is_set() else self._housekeeper.list_folders()  # before the look at what is wanted
        wanted = self._database.read(list_wanted)
        self._clear_up(wanted, folders)
        active = [release for release in wanted if release.is_active]
        warm = [release for release in wanted if not release.is_active]
        more = self._bring_up(active)
        self._rounds += 1
        if not more or self._rounds % _WARM_ROUNDS == 0:
            more |= self._bring_up(warm)
        self._housekeeper.trim_logs(wanted, self._holder.held)
        if not self._stopping.is_set() and self._holder.owing <= self._failures.keys():
            self._synced.set()
        return more

    def _bring_up(self, wanted: Sequence[WantedRelease]) -> bool:
        more = False
        for release in wanted:
            if self._stopping.is_set():
                return False
            more |= self._guarded(release)
        return more

    def _guarded(self, wanted: WantedRelease) -> bool:
        """One release's trouble is not the others'; what answers goes on answering."""
        release_id = wanted.key.release_id
        failure = self._failures.get(release_id)
        if failure is not None and time.monotonic() < failure.retry_at and failure.wanted.is_active == wanted.is_active:
            return False
        try:
            more = self._holder.bring_up(wanted, in_doubt=failure is not None)
        except LogTrimmedError as error:  # what answers goes on answering until what is loaded has caught up
            _log.info("release_loads_again", collection=wanted.key.collection, reason=str(error))
            self._holder.reload(release_id)
            more = True
        except UnavailableError:
            raise  # the database is away, or we are to stop: nothing is wrong with the collection
        except Exception as error:
            _log.error(
                "release_failed",
                collection=wanted.key.collection,
                release=wanted.key.number,
                reason=str(error),
                exc_info=_unexpected(error),
            )
            times = 1 if failure is None else failure.times + 1
            reason, retry_at = str(error) or repr(error), time.monotonic() + _RETRY_S
            self._failures[release_id] = Failure(wanted, reason, times, retry_at)
            return False
        if not self._holder.is_loading(release_id):
            self._failures.pop(release_id, None)
        return more

    def _clear_up(self, wanted: Sequence[WantedRelease], folders: Sequence[Path]) -> None:
        """Forget what is not wanted any more, and at the start remove what is left of it."""
        self._holder.drop_all_but(wanted)
        for release_id in self._failures.keys() - {release.key.release_id for release in wanted}:
            del self._failures[release_id]
        self._housekeeper.remove_all_but([release.key for release in wanted], folders)


def _unexpected(error: Exception) -> bool:
    """Whether the log should show the traceback: of a database or an index server that is away it would say nothing."""
    return not isinstance(error, (UnavailableError, IndexServerError))
