"""Keeping queries off the request path: requests put them down, one thread stores them and deletes what is too old."""

import random
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy.orm import Session

from app.background import Background, Rhythm
from app.collection.tables import Collection
from app.db.database import Database
from app.errors import ServiceError
from app.feedback.keeping import FeedbackSettings, KeepQueries
from app.feedback.repository import FeedbackRepository, delete_expired, find_expired
from app.feedback.tables import Feedback, FeedbackSource, FeedbackState
from app.feedback.text_key import text_key
from app.ids import IdSource
from model.contract.deciding.decision import Decision, Outcome

MOST_WAITING: Final = 4_096
"""Queries that wait to be stored; more are dropped and counted."""

MOST_CHARACTERS: Final = 2_000
"""Longer queries are dropped and counted: no question is so long, and ten thousand of them would fill a disk."""

_STORE_S: Final = 0.5
_TIDY_S: Final = 600.0
_AT_ONCE: Final = 200
"""Queries stored in a transaction: bounds how long records that are to be written wait for it."""

_MOST_BATCHES: Final = MOST_WAITING // _AT_ONCE + 1

_GROUPS_KEPT: Final = 3

_log = structlog.get_logger(__name__)


class Keeping(StrEnum):
    """What becomes of a query that is to be kept, as the metrics count it."""

    KEPT = "kept"
    QUEUE_FULL = "queue_full"
    TOO_LONG = "too_long"
    DROPPED = "dropped"
    """The database could not take it, the collection is gone or wants none any more, or texts were erased meanwhile."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that was answered.

    Attributes:
        erasures: How often texts of the collection had been erased, as this server knew when it was asked.
    """

    collection_id: int
    erasures: int
    text: str
    release: int
    decision: Decision
    at: datetime


_KeyedQuery = tuple[str, Asked]
"""A query after its text key."""


class QueryKeeper(Background):
    """Stores queries, some at a time, and in the end what waits; a process that is killed loses what is not stored yet.

    Args:
        database: Where they go.
        count: Hears what became of how many.
        chance: Chooses the sample.
    """

    def __init__(
        self, database: Database, count: Callable[[Keeping, int], None], chance: random.Random | None = None
    ) -> None:
        super().__init__("query-keeper")
        self._database = database
        self._count = count
        self._chance = chance or random.Random()
        self._waiting: deque[Asked] = deque()  # appended to by the event loop, taken from under _storing
        self._storing = threading.Lock()  # held from taking queries until they are stored
        self._ids = IdSource()  # used under _storing
        self._tidying = Rhythm()

    def offer(
        self,
        collection_id: int,
        release: int,
        settings: FeedbackSettings,
        sentences: Sequence[str],
        decisions: Iterable[Decision],
        *,
        erasures: int,
    ) -> None:
        """Put down those queries of a request that the collection wants to keep; for the event loop.

        Args:
            collection_id: The collection's.
            release: Number of the release that decided.
            settings: The collection's.
            sentences: The queries.
            decisions: What was decided on each.
            erasures: See Asked.
        """
        at = datetime.now(UTC)
        for text, decision in zip(sentences, decisions, strict=True):
            if not self._is_wanted(settings, decision):
                continue
            if len(text) > MOST_CHARACTERS:
                self._count(Keeping.TOO_LONG, 1)
            elif len(self._waiting) >= MOST_WAITING:
                self._count(Keeping.QUEUE_FULL, 1)
            else:
                self._waiting.append(Asked(collection_id, erasures, text, release, decision, at))

    def flush(self) -> None:
        """Store what waits, now; blocks.

        Raises:
            UnavailableError: The database cannot take it: what waited is dropped.
        """
        for _ in range(_MOST_BATCHES):  # what comes meanwhile is for the next time
            if not self._store_some():
                return

    def tidy(self, now: datetime) -> int:
        """Delete the kept queries that are older than their collections want; how many."""
        collections = self._database.read(lambda session: find_expired(session, now))
        return sum(self._expire(collection_id, now) for collection_id in collections)

    def _is_wanted(self, settings: FeedbackSettings, decision: Decision) -> bool:
        if settings.keep_queries is KeepQueries.UNMATCHED:
            return decision.outcome is not Outcome.MATCHED
        return settings.keep_queries is KeepQueries.SAMPLED and self._chance.random() < settings.keep_queries_share

    def _run(self) -> None:
        while True:
            is_last = self._stopping.wait(_STORE_S)
            self._guarded(self.flush)
            if is_last:
                return
            if self._tidying.is_due(_TIDY_S):
                self._guarded(self._tidy_now)

    def _guarded(self, do: Callable[[], object]) -> None:
        try:
            do()
        except ServiceError as error:
            _log.warning("queries_not_kept", reason=error.detail)
        except Exception:  # the thread must live on: requests do not wait for it, and nobody would notice
            _log.exception("query_keeper_failed")

    def _tidy_now(self) -> None:
        deleted = self.tidy(datetime.now(UTC))
        if deleted:
            _log.info("kept_queries_expired", deleted=deleted)

    def _expire(self, collection_id: int, now: datetime) -> int:
        total = 0
        while True:
            deleted = self._database.write(partial(delete_expired, collection_id=collection_id, now=now, most=_AT_ONCE))
            total += deleted.result()
            if deleted.result() < _AT_ONCE:
                return total

    def _store_some(self) -> bool:
        """Store a batch; False where none waits."""
        with self._storing:
            taken = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            if not taken:
                return False
            batch = [(text_key(asked.text), asked) for asked in taken]  # not while others wait for the database
            stored = 0
            try:
                stored = self._database.write(lambda session: self._store(session, batch)).result()
            finally:
                self._count(Keeping.KEPT, stored)
                self._count(Keeping.DROPPED, len(batch) - stored)
            return True

    def _store(self, session: Session, batch: Sequence[_KeyedQuery]) -> int:
        """Store each under its collection, unless that is gone or wants none any more; how many.

        Those that were asked before texts were erased are not: they may say the same. Erasing locks the collection too.
        """
        by_collection: dict[int, list[_KeyedQuery]] = defaultdict(list)
        for key, asked in batch:
            by_collection[asked.collection_id].append((key, asked))
        stored = 0
        for collection_id, together in sorted(by_collection.items()):
            collection = session.get(Collection, collection_id, with_for_update=True)
            if collection is None:
                continue
            settings = FeedbackSettings.of(collection.settings)
            if settings.keep_queries is KeepQueries.OFF:
                continue
            storable = [(key, asked) for key, asked in together if asked.erasures == collection.erasures]
            self._keep(FeedbackRepository(session, collection_id), storable)
            FeedbackRepository(session, collection_id).evict(settings.keep_queries_most)
            stored += len(storable)
        return stored

    def _keep(self, repository: FeedbackRepository, batch: Sequence[_KeyedQuery]) -> None:
        """Count those that are known, add the others; the answer that is kept is the newest."""
        known = repository.find_kept(key for key, _ in batch)
        new: list[Feedback] = []
        for key, asked in batch:
            item = known.get(key)
            if item is None:
                item = known[key] = self._new_item(key, asked)
                new.append(item)
            else:
                item.count += 1
            for name, value in _answer_of(asked).items():
                setattr(item, name, value)
        repository.add(new)

    def _new_item(self, key: str, asked: Asked) -> Feedback:
        return Feedback(
            key=self._ids.take(),
            collection_id=asked.collection_id,
            source=FeedbackSource.KEPT_QUERY,
            text=asked.text,
            text_key=key,
            metadata_={},
            state=FeedbackState.PENDING,
            count=1,
            created_at=asked.at,
        )


def _answer_of(asked: Asked) -> dict[str, Any]:
    decision = asked.decision
    return {
        "last_seen_at": asked.at,
        "release": asked.release,
        "decision": decision.outcome,
        "confidence": decision.confidence,
        "groups": [{"group": group.group, "confidence": group.confidence} for group in decision.groups[:_GROUPS_KEPT]],
    }
