"""Which changes of the logs no reader needs any more, and when they are removed: for a bounded time each."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import structlog

from app.db.database import Database
from app.errors import ConflictError, ServiceError
from app.serving.marks import Marks, read_marks, remove_some, set_mark
from app.serving.release import ServingRelease
from app.serving.repository import WantedRelease
from index.snapshot import list_snapshots

AGE: Final = timedelta(days=1)
"""No younger change is removed: how far other servers have come, and what workers are building, is not known here."""

MARK_EVERY: Final = timedelta(hours=1)
"""So exactly the age of changes is known."""

_TURN_S: Final = 0.25
"""So long a turn removes, and one transaction more."""

_PAUSE_S: Final = 0.01
"""Between two transactions: others write meanwhile."""

_LOOK_S: Final = 60.0
_AGAIN_S: Final = 1.0
"""Where a turn has left something to remove."""

_log = structlog.get_logger(__name__)


class LogTrimmer:
    """Removes old changes. Each server may have one: of a collection only one removes at a time.

    Args:
        database: Where the logs are.
        data: Folder of the snapshots.
    """

    def __init__(self, database: Database, data: Path) -> None:
        self._database, self._data = database, data
        self._is_at_it, self._due_at = False, 0.0
        self._start: dict[int, int] = {}  # by collection_id: there is no change below it

    def take_turn(self) -> bool:
        """Whether `trim` is due; who hears that it is must call it. From one thread; takes no time."""
        if self._is_at_it or time.monotonic() < self._due_at:
            return False
        self._is_at_it = True
        return True

    def trim(self, wanted: Sequence[WantedRelease], held: Sequence[ServingRelease]) -> None:
        """Remove what is old and needed by no release, or some of it.

        Args:
            wanted: Every release that shall be in memory, those of a collection one after the other.
            held: Those that are.
        """
        is_done = True
        try:
            is_done = self._trim(wanted, {release.key.release_id: release for release in held})
        except ServiceError as error:  # it is due again in a minute
            _log.warning("change_log_not_trimmed", reason=error.detail)
        except Exception:  # the thread has other work
            _log.exception("change_log_not_trimmed")
        finally:
            self._due_at = time.monotonic() + (_LOOK_S if is_done else _AGAIN_S)
            self._is_at_it = False

    def _trim(self, wanted: Sequence[WantedRelease], held: Mapping[int, ServingRelease]) -> bool:
        """Take one turn; whether nothing is left to do."""
        now = datetime.now(UTC)
        marks = self._database.read(lambda session: read_marks(session, now - AGE))
        groups = {key: list(group) for key, group in groupby(wanted, lambda release: release.key.collection_id)}
        for collection_id, releases in groups.items():
            self._mark(releases[0], marks.get(collection_id), now)
        before, self._start, until = self._start, {}, time.monotonic() + _TURN_S
        for collection_id, releases in groups.items():
            start, known = before.get(collection_id, 0), marks.get(collection_id)
            if known is not None and known.old is not None and known.old > start:
                below = min(known.old, self._needed_from(releases, held))
                start = self._remove(collection_id, start, below, known.old, until)
            self._start[collection_id] = start
        return time.monotonic() < until

    def _mark(self, release: WantedRelease, known: Marks | None, now: datetime) -> None:
        """Mark where the log of a collection ends, once an hour while it grows."""
        seq = release.last_seq
        if seq == 0 or (known is not None and (seq <= known.seq or _is_fresh(known, now))):
            return
        old = None if known is None else known.old
        try:
            self._database.write(lambda s: set_mark(s, release.key.collection_id, seq, now, old)).result()
        except ConflictError:  # another server has just done it, or the collection is gone
            _log.info("change_log_not_marked", collection=release.key.collection)

    def _needed_from(self, releases: Sequence[WantedRelease], held: Mapping[int, ServingRelease]) -> int:
        """The first change of a collection's log that must stay: the one that the oldest snapshot, or a release in
        memory, is complete up to; it tells histories apart. 0 where that is not known of every release.
        """
        places = []
        for wanted in releases:
            release, snapshots = held.get(wanted.key.release_id), list_snapshots(wanted.key.folder(self._data))
            if release is None or not snapshots:
                return 0
            places += [release.applied_seq, int(snapshots[-1].name)]
        return min(places)

    def _remove(self, collection_id: int, start: int, below: int, mark: int, until: float) -> int:
        """Remove changes of a collection, until a moment at most; returns below which there is none now."""
        while start < below and time.monotonic() < until:
            unit = partial(remove_some, collection_id=collection_id, start=start, below=below, mark=mark)
            reached = self._database.write(unit).result()
            if reached is None:
                break
            start = reached
            time.sleep(_PAUSE_S)
        return start


def _is_fresh(known: Marks, now: datetime) -> bool:
    """Whether the newest mark will do: not one of a clock that went ahead of this one, and would be fresh for long."""
    return timedelta(0) <= now - known.marked_at < MARK_EVERY
