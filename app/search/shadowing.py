"""Asking a warm release what the active one was asked: off the request path, a share of the queries, bounded."""

import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy.orm import Session

from app.background import Background, Rhythm
from app.collection.tables import Collection
from app.db.database import Database
from app.errors import ServiceError
from app.priority import let_others_go_first
from app.release.shadow import Tally, merged
from app.release.tables import Release
from app.search.deciding import Decider
from app.search.lookup import Lookup, LookupRunner
from app.serving.release import ServingRelease
from app.serving.serving import Serving
from model.contract.deciding.decision import Decision, Outcome

MOST_WAITING: Final = 1000
"""Queries that may wait to be asked again; more are counted and dropped."""

_STORE_S: Final = 2.0
_LOOK_S: Final = 0.2
_EXAMPLES: Final = 20

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A query that both releases are to be asked."""

    text: str
    active: ServingRelease
    shadow: ServingRelease
    series: "_Series"


class _Series(NamedTuple):
    """Whose queries are counted together.

    Attributes:
        active: Number of the release that they were asked of.
        erasures: How often texts of the collection had been erased, as this server knew when they were asked.
    """

    collection_id: int
    release_id: int
    active: int
    erasures: int


class Shadows(Background):
    """Asks shadows, and stores what it counted, in the end too.

    Args:
        serving: The releases in memory.
        database: Where counts are kept.
    """

    def __init__(self, serving: Serving, database: Database) -> None:
        super().__init__("shadows")
        self._serving, self._database = serving, database
        self._waiting: deque[_Waiting] = deque()
        self._dropped: dict[_Series, int] = {}  # written by the event loop, taken by the thread
        self._tallies: dict[_Series, Tally] = {}  # the thread's
        self._storing = Rhythm()
        self._decider, self._runner = Decider(), LookupRunner(_ignore, _ignore)

    def offer(self, asked: ServingRelease, sentences: Sequence[str], erasures: int) -> None:
        """Have some of the queries that the active release was asked put to its shadow, if it has one; never waits.

        Args:
            asked: The release that was asked; nothing comes of it where that is not the active one.
            sentences: The queries.
            erasures: Its own, when they came.
        """
        shadow = self._serving.find_shadow(asked.key.collection_id)
        if shadow is None or asked is not self._serving.find(asked.key.collection):
            return
        series = _Series(shadow.key.collection_id, shadow.key.release_id, asked.key.number, erasures)
        for text in sentences:
            if random.random() >= shadow.shadow_share:
                continue
            if len(self._waiting) >= MOST_WAITING:
                self._dropped[series] = self._dropped.get(series, 0) + 1
            else:
                self._waiting.append(_Waiting(text, asked, shadow, series))

    def _run(self) -> None:
        let_others_go_first()
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(_LOOK_S)
            try:
                while self._waiting and not self._stopping.is_set():
                    self._ask(self._waiting.popleft())
                    self._store(at_once=False)
                self._store(at_once=is_last)
            except ServiceError as error:
                _log.warning("shadow_waits", reason=error.detail)
            except Exception:  # the thread must live on
                _log.exception("shadow_failed")

    def _ask(self, query: _Waiting) -> None:
        tally = self._tallies.setdefault(query.series, Tally())
        before, nearest_before = self._answer(query.active, query.text, tally, "active")
        after, nearest_after = self._answer(query.shadow, query.text, tally, "shadow")
        tally.counts["queries"] += 1
        tally.counts["agree"] += nearest_before == nearest_after
        if _shown(before) == _shown(after):
            return
        tally.counts["flips"] += 1
        tally.counts["to_no_match"] += after.outcome is Outcome.NO_MATCH and before.outcome is not Outcome.NO_MATCH
        tally.counts["from_no_match"] += before.outcome is Outcome.NO_MATCH and after.outcome is not Outcome.NO_MATCH
        if len(tally.examples) < _EXAMPLES:
            tally.examples.append({"text": query.text, "active": _shown(before), "shadow": _shown(after)})

    def _answer(self, release: ServingRelease, text: str, tally: Tally, side: str) -> tuple[Decision, int]:
        started = time.perf_counter()
        (found,) = self._runner.run([Lookup.to_decide(release, [text])])
        (decision,) = self._decider.decide(release, [text], found)
        tally.seconds[side] += time.perf_counter() - started
        return decision, found.record_ids[0][0]

    def _store(self, *, at_once: bool) -> None:
        if not self._storing.is_due(_STORE_S) and not at_once:
            return
        dropped, self._dropped = self._dropped, {}
        for series, n in dropped.items():
            self._tallies.setdefault(series, Tally()).counts["dropped"] += n
        tallies = self._tallies
        if tallies:
            self._database.write(lambda session: _add(session, tallies)).result()
            self._tallies = {}  # else they are added to, and stored next time


def _add(session: Session, tallies: Mapping[_Series, Tally]) -> None:
    """Add what was counted beside the release that is active; without the examples that were taken before texts were
    erased, which may say the same.
    """
    for series, tally in sorted(tallies.items(), key=itemgetter(0)):
        collection = session.get(Collection, series.collection_id, with_for_update=True)  # as who erases locks it
        release = session.get(Release, series.release_id, with_for_update=True)
        if collection is None or release is None or release.shadow is None or release.shadow_share is None:
            continue
        if series.active != collection.active_release:
            continue
        examples = tally.examples if series.erasures == collection.erasures else []
        release.shadow = merged(release.shadow, replace(tally, examples=examples))


def _shown(decision: Decision) -> dict[str, Any]:
    """What of a decision counts: its outcome, and the group or labels that were given."""
    is_given = decision.outcome is not Outcome.NO_MATCH
    return {
        "decision": decision.outcome,
        "group": decision.groups[0].group if is_given and decision.groups else None,
        "labels": [label.label for label in decision.labels] if is_given else [],
    }


def _ignore(seconds: float) -> None:
    """The figures of /metrics are those of the active releases."""
