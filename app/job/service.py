"""What clients do with jobs: look at them, follow them, cancel them."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from collections.abc import Collection as AnyOf
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy.orm import Session

from app.db.database import Database
from app.errors import ConflictError, OverloadedError
from app.http.cursors import Cursors
from app.job.repository import HANDED_OVER, JobRepository, no_such_job, progress_of
from app.job.schemas import JobAnswer, JobErrorAnswer, ProgressAnswer
from app.job.tables import UNFINISHED, Job, JobState, JobType
from app.schemas import Page

MOST_STREAMS: Final = 200
"""Event streams open at the same time."""

MOST_OF_ONE: Final = 100
"""Of these, those of one caller: whoever never closes his leaves as many to all others."""

_LISTING: Final = "jobs"
_LOOK_S: Final = 0.25
_KEEP_ALIVE_S: Final = 15.0


class JobService:
    """The jobs of this database.

    Args:
        database: Where they are.
        cursors: Signs the pages of the list.
        jobs: Folder of the jobs' files.
    """

    def __init__(self, database: Database, cursors: Cursors, jobs: Path) -> None:
        self._database = database
        self._jobs = jobs
        self._cursors = cursors
        self._streams = Counter[str]()
        self.is_stopping: Callable[[], bool] = lambda: False
        """Whether the server is about to end, and streams with it; set by whoever runs it."""

    async def get(self, key: str) -> JobAnswer:
        """One job, or NotFoundError."""
        return await self._database.read_async(lambda session: to_answer(JobRepository(session).get(key)))

    async def check_is_of(self, key: str, collections: AnyOf[str]) -> None:
        """Refuse a job of any other collection, as if it were not there: NotFoundError."""

        def unit(session: Session) -> None:
            if JobRepository(session).get(key).collection not in collections:
                raise no_such_job(key)

        await self._database.read_async(unit)

    async def list_page(
        self,
        cursor: str | None,
        limit: int,
        collection: str | None,
        states: Sequence[JobState],
        within: AnyOf[str] | None = None,
    ) -> Page[JobAnswer]:
        """One page of the jobs, newest first; `within` some collections only, or all for None."""
        before = self._cursors.read(_LISTING, cursor)

        def unit(session: Session) -> Page[JobAnswer]:
            found = JobRepository(session).list_page(before, limit + 1, collection, states, within)
            return self._cursors.page(Page[JobAnswer], _LISTING, limit, found, lambda job: (job.id, to_answer(job)))

        return await self._database.read_async(unit)

    async def cancel(self, key: str) -> JobAnswer:
        """Stop a job; what runs stops within seconds.

        Raises:
            ConflictError: It is over, or all that it wanted is stored.
        """

        def unit(session: Session) -> JobAnswer:
            repository = JobRepository(session)
            job = repository.get_locked(key)
            if job.state not in UNFINISHED or job.stage in HANDED_OVER:
                raise ConflictError(f"the job is {_what(job)}: there is nothing left to cancel")
            if job.state == JobState.QUEUED:
                repository.finish(job.id, JobState.CANCELLED)
            elif job.state == JobState.RUNNING:
                job.state = JobState.CANCELLING
                repository.tell(job)
            return to_answer(job)

        cancelled = await self._database.write_async(unit)
        if cancelled.state is JobState.CANCELLED:  # no worker has seen it that could clean up
            await asyncio.to_thread(shutil.rmtree, self._jobs / cancelled.id, ignore_errors=True)
        return cancelled

    async def events(self, key: str, after: int, caller: str) -> AsyncIterator[bytes] | None:
        """The job's events past a number as Server-Sent Events, up to its end; None where it is over and all were told.

        A number beyond the last counts as the last: an older state of the database was restored since.

        Raises:
            NotFoundError: There is no such job.
            OverloadedError: Too many streams are open, or too many of this caller.
        """
        job_id, n_events, is_over = await self._database.read_async(lambda session: _told(session, key))
        if is_over and after >= n_events:
            return None
        if self._streams[caller] >= MOST_OF_ONE or self._streams.total() >= MOST_STREAMS:
            raise OverloadedError(
                f"{self._streams.total()} event streams are open, {self._streams[caller]} of them yours: "
                f"close one, or poll GET /v1/jobs/{key}"
            )
        return self._stream(job_id, min(after, n_events), caller)

    async def _stream(self, job_id: int, after: int, caller: str) -> AsyncIterator[bytes]:
        self._streams[caller] += 1
        quiet_s = 0.0
        try:
            yield b"retry: 1000\n\n"
            while not self.is_stopping():
                found = await self._database.read_async(partial(_events, job_id=job_id, after=after))
                if found is None:
                    return  # the job is forgotten
                for number, data in found:
                    after = number
                    yield b"id: %d\nevent: progress\ndata: %b\n\n" % (number, orjson.dumps(data))
                    if data["state"] not in UNFINISHED:
                        return
                quiet_s = 0.0 if found else quiet_s + _LOOK_S
                if quiet_s >= _KEEP_ALIVE_S:
                    quiet_s = 0.0
                    yield b": still there\n\n"
                await asyncio.sleep(_LOOK_S)
        finally:
            self._streams[caller] -= 1
            self._streams += Counter()  # callers without streams are not remembered


def _told(session: Session, key: str) -> tuple[int, int, bool]:
    job = JobRepository(session).get(key)
    return job.id, job.n_events, job.state not in UNFINISHED


def _events(session: Session, job_id: int, after: int) -> list[tuple[int, dict[str, Any]]] | None:
    return None if session.get(Job, job_id) is None else JobRepository(session).events(job_id, after)


def to_answer(job: Job) -> JobAnswer:
    """What clients see of a job."""
    return JobAnswer(
        id=job.key,
        type=JobType(job.type),
        state=JobState(job.state),
        collection=job.collection,
        progress=ProgressAnswer(**progress_of(job)),
        result=job.result,
        error=_error(job.error),
        attempts=job.attempts,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def _error(error: dict[str, Any] | None) -> JobErrorAnswer | None:
    return None if error is None else JobErrorAnswer(**error)


def _what(job: Job) -> str:
    return "stored and being made searchable" if job.state in UNFINISHED else str(job.state)
