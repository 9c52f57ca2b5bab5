"""Looking at the releases of collections, and choosing which one answers."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.errors import ConflictError, NotFoundError
from app.http.cursors import Cursors
from app.job.repository import JobRepository
from app.job.tables import JobType
from app.record.repository import RecordRepository
from app.release.overtaking import end_promotions
from app.release.page.page import render
from app.release.page.source import PageSource, ids_named
from app.release.repository import ReleaseRepository
from app.release.schemas import EventAnswer, FlipAnswer, ReleaseAnswer, ShadowAnswer, ShadowRequest, SwitchedAnswer
from app.release.tables import Release, ReleaseAction, ReleaseEvent, ReleaseState
from app.release.transitions import Releases
from app.schemas import MOST_ITEMS, Page
from app.serving.serving import Serving

_LISTING: Final = "release-events"


class ReleaseService:
    """The releases of collections.

    Args:
        database: Where they are.
        serving: Which of them are in memory.
        cursors: Signs the pages of events.
        keep: See Releases.
    """

    def __init__(self, database: Database, serving: Serving, cursors: Cursors, *, keep: int) -> None:
        self._database, self._serving, self._cursors, self._keep = database, serving, cursors, keep

    async def list_all(self, collection: str) -> list[ReleaseAnswer]:
        """Every release of a collection, oldest first."""

        def unit(session: Session) -> list[ReleaseAnswer]:
            collection_id = CollectionRepository(session).get(collection).id
            return [self._to_answer(release) for release in ReleaseRepository(session).list_all(collection_id)]

        return await self._database.read_async(unit)

    async def get(self, collection: str, number: int) -> ReleaseAnswer:
        """One release, or NotFoundError."""
        return await self._database.read_async(lambda session: self._to_answer(_get(session, collection, number)))

    async def report(self, collection: str, number: int) -> dict[str, Any]:
        """How a release was made and judged; it names records by their ids.

        Raises:
            NotFoundError: There is none, as of the release that a collection was created with.
        """

        return await self._database.read_async(lambda session: _report(_get(session, collection, number)))

    async def page(self, collection: str, number: int) -> str:
        """`report` as a page that shows what the records that it names say now.

        Raises:
            NotFoundError: There is none.
        """

        def unit(session: Session) -> PageSource:
            release = _get(session, collection, number)
            report = _report(release)
            events = ReleaseRepository(session).events_of(release, MOST_ITEMS)
            return PageSource(
                collection=collection,
                number=number,
                report=report,
                events=[_to_event(event) for event in events],
                texts=RecordRepository(session, release.collection_id).find_texts(ids_named(report)),
            )

        return await asyncio.to_thread(render, await self._database.read_async(unit))

    async def events(self, collection: str, cursor: str | None, limit: int) -> Page[EventAnswer]:
        """One page of what happened to the releases of a collection, newest first."""
        before = self._cursors.read(_LISTING, cursor)

        def unit(session: Session) -> Page[EventAnswer]:
            collection_id = CollectionRepository(session).get(collection).id
            found = ReleaseRepository(session).events(collection_id, before, limit + 1)
            return self._cursors.page(Page[EventAnswer], _LISTING, limit, found, lambda row: (row.id, _to_event(row)))

        return await self._database.read_async(unit)

    async def is_warm(self, collection: str, number: int) -> bool:
        """Whether a release can answer within a moment."""
        return await self._database.read_async(lambda session: _get(session, collection, number).is_warm)

    async def promote(self, collection: str, number: int, who: str, why: str) -> SwitchedAnswer:
        """Let a warm release answer; answered when this server does so.

        Raises:
            ConflictError: It answers already, or is not warm, or this server cannot load it.
        """

        def change(releases: Releases) -> Release:
            release = releases.get(number)
            releases.promote(release, who, why)
            return release

        return await self._switch(collection, change)

    async def roll_back(self, collection: str, number: int, who: str, why: str) -> SwitchedAnswer:
        """Let the release answer again that was active before this one; answered when this server does so.

        Raises:
            ConflictError: This one is not active, or the one before is not warm, or this server cannot load it.
        """
        return await self._switch(collection, lambda releases: releases.roll_back(number, who, why))

    async def shadow(self, collection: str, number: int, wanted: ShadowRequest, who: str) -> ShadowAnswer:
        """Ask a warm release live queries too, or no more.

        Raises:
            ConflictError: It is active, or not warm, or another one is asked already.
        """

        def unit(session: Session) -> ShadowAnswer:
            releases = Releases(session, collection, keep=self._keep)
            release = releases.get(number)
            releases.shadow(release, wanted.share, wanted.examples, who, wanted.why)
            return _to_shadow(release)

        shadow = await self._database.write_async(unit)
        self._serving.wake()
        return shadow

    async def get_shadow(self, collection: str, number: int) -> ShadowAnswer:
        """How its answers compared so far, or NotFoundError where it was never asked."""
        return await self._database.read_async(lambda session: _to_shadow(_get(session, collection, number)))

    async def _switch(self, collection: str, change: Callable[[Releases], Release]) -> SwitchedAnswer:
        def unit(session: Session) -> tuple[int, int, ReleaseAnswer]:
            jobs = JobRepository(session)
            jobs.lock_of(collection, (JobType.PROMOTION,))  # before the collection, as the step of a job does
            releases = Releases(session, collection, keep=self._keep)
            before, chosen = releases.collection.active_release, change(releases)
            self._refuse_broken(chosen)
            end_promotions(jobs, releases, chosen, before)
            return releases.collection.id, before, self._to_answer(chosen)

        collection_id, before, release = await self._database.write_async(unit)
        self._serving.wake()
        answers = await self._serving.wait_answering(collection_id, release.number)
        return SwitchedAnswer(release=release, before=before, answers=answers)

    def _refuse_broken(self, release: Release) -> None:
        """Refuse what this server has not in memory and cannot load: with its next start nothing would answer."""
        failure = self._serving.failure(release.id)
        if failure is not None and self._serving.behind(release.id) is None:
            raise ConflictError(
                f"release {release.number} cannot be brought into memory: {failure.reason}; "
                "mend that, or choose another one"
            )

    def _to_answer(self, release: Release) -> ReleaseAnswer:
        return ReleaseAnswer(
            number=release.number,
            encoder=release.encoder_sha,
            state=ReleaseState(release.state),
            warm=release.is_warm,
            behind=self._serving.behind(release.id),
            previous=release.previous,
            job=release.job,
            score=release.decision["score"],
            threshold=release.decision["threshold"],
            margin=release.decision["margin"],
            head_weight=release.decision["head_weight"],
            created_at=release.created_at,
            activated_at=release.activated_at,
        )


def _get(session: Session, collection: str, number: int) -> Release:
    return ReleaseRepository(session).get(CollectionRepository(session).get(collection).id, number)


def _report(release: Release) -> dict[str, Any]:
    if release.report is None:
        raise NotFoundError(f"release {release.number} has no report: it was not trained or added through the gate")
    return release.report


def _to_shadow(release: Release) -> ShadowAnswer:
    if release.shadow is None:
        raise NotFoundError(f"release {release.number} was not asked live queries: POST .../{release.number}:shadow")
    counts, seconds = release.shadow["counts"], release.shadow["seconds"]
    n = counts["queries"]
    return ShadowAnswer(
        release=release.number,
        share=release.shadow_share,
        since=release.shadow["since"],
        queries=n,
        dropped=counts["dropped"],
        agreement_at_1=counts["agree"] / n if n else None,
        flips=counts["flips"],
        to_no_match=counts["to_no_match"],
        from_no_match=counts["from_no_match"],
        active_ms=1000 * seconds["active"] / n if n else None,
        shadow_ms=1000 * seconds["shadow"] / n if n else None,
        examples=[FlipAnswer(**flip) for flip in release.shadow["examples"]],
    )


def _to_event(event: ReleaseEvent) -> EventAnswer:
    return EventAnswer(
        release=event.number, action=ReleaseAction(event.action), who=event.who, why=event.why, at=event.at
    )
