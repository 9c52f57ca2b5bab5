"""Starting what makes releases: trainings, adoptions of encoders, and promotions that need an index first."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.collection.tables import Collection
from app.db.database import Database
from app.encoder.service import named_encoder
from app.errors import ConflictError, OverloadedError
from app.idempotency.attempts import Attempt, Attempts, once
from app.job.schemas import JobAnswer
from app.job.service import to_answer
from app.job.tables import JobType
from app.release.repository import ReleaseRepository
from app.release.transitions import refuse_pruned
from app.training.ordering import last_order, order, to_request, unfinished
from app.training.schemas import AdoptionRequest, JudgedRequest, TrainingRequest, WhenBusy


class TrainingService:
    """Orders of releases.

    Args:
        database: Where jobs are.
        attempts: Those that run.
        max_unfinished: Jobs of these kinds that may wait or run.
        wake: Says that there is a new job.
    """

    def __init__(self, database: Database, attempts: Attempts, max_unfinished: int, wake: Callable[[], None]) -> None:
        self._database = database
        self._attempts = attempts
        self._max_unfinished = max_unfinished
        self._wake = wake

    async def start_training(
        self, collection: str, wanted: TrainingRequest, who: str, attempt: Attempt | None
    ) -> JobAnswer:
        """Queue a training."""
        request = to_request(wanted, who)
        return await self._start(JobType.TRAINING, collection, lambda session, _: request, wanted, attempt)

    async def start_adoption(
        self, collection: str, wanted: AdoptionRequest, who: str, attempt: Attempt | None, *, lists: bool
    ) -> JobAnswer:
        """Queue the judging of an encoder that was trained elsewhere; `lists` whether `who` may hear which there are.

        Raises:
            InvalidValueError: There is no such encoder.
            ConflictError: It serves already.
        """

        def request(session: Session, collection_: Collection) -> dict[str, Any]:
            encoder = named_encoder(session, wanted.encoder, lists=lists)
            active = ReleaseRepository(session).get(collection_.id, collection_.active_release)
            if encoder.sha == active.encoder_sha:
                raise ConflictError(f"release {active.number}, which is active, has this encoder already")
            return {**to_request(wanted, who), "encoder": encoder.sha}

        return await self._start(JobType.ADOPTION, collection, request, wanted, attempt)

    async def start_promotion(self, collection: str, number: int, who: str, why: str) -> JobAnswer:
        """Queue the building of a release's index, after which it answers; where that was the last order, give its job.

        Raises:
            ConflictError: It is active, or was pruned.
        """

        def request(session: Session, collection_: Collection) -> dict[str, Any]:
            release = ReleaseRepository(session).get(collection_.id, number)
            if release.number == collection_.active_release:
                raise ConflictError(f"release {number} is active already")
            refuse_pruned(session, collection_, release)
            return {"release": number, "encoder": release.encoder_sha, "promote": "auto", "who": who, "why": why}

        return await self._start(JobType.PROMOTION, collection, request, None, None)

    async def _start(
        self,
        kind: JobType,
        collection: str,
        request: Callable[[Session, Collection], dict[str, Any]],
        wanted: JudgedRequest | None,
        attempt: Attempt | None,
    ) -> JobAnswer:
        def start(session: Session) -> JobAnswer:
            found = CollectionRepository(session).get_locked(collection)  # two requests at once do not pass each other
            asked = request(session, found)
            if kind is JobType.PROMOTION and (last := last_order(session, found, asked["release"])) is not None:
                return to_answer(last)  # a second job would undo what a person chooses after the first
            self._check_room(session, found, refuses=wanted is not None and wanted.when_busy is WhenBusy.REFUSE)
            return order(session, kind, found, asked)

        with self._attempts.running(attempt):
            started = await self._database.write_async(
                lambda session: once(session, attempt, JobAnswer, lambda: start(session))
            )
        self._wake()
        return started

    def _check_room(self, session: Session, collection: Collection, *, refuses: bool) -> None:
        jobs = unfinished(session)
        busy = [job.key for job in jobs if job.collection_id == collection.id]
        if refuses and busy:
            raise ConflictError(
                f"a release of the collection is being made already (job {busy[0]}): wait for it, or cancel it"
            )
        if len(jobs) >= self._max_unfinished:
            raise OverloadedError(f"{len(jobs)} trainings wait or run already: repeat it when some are over")
