"""What the code of a job sees of it: what was asked for, how far it came, and the one way to go further."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from app.background import Rhythm
from app.db.database import Database
from app.errors import UnavailableError
from app.job.errors import JobCancelledError, JobLostError
from app.job.repository import INDEXING, JobRepository, Progress
from app.job.tables import Job, JobState, JobType

TELL_S: Final = 0.5
"""Listeners are told of progress so often at most; the truth is stored with every step."""

_SPEED_S: Final = 5.0
"""Speed is that of the last seconds."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step has come to; the speed of its progress is filled in."""

    checkpoint: dict[str, Any]
    progress: Progress


@dataclass(frozen=True, slots=True)
class Handover:
    """All is stored; a server ends the job when searches have reached the change `seq`, or the release answers."""

    seq: int
    result: dict[str, Any]
    stage: str = INDEXING


class JobRun:
    """One attempt at a job.

    Args:
        database: The truth.
        job: As it was claimed.
        worker: Who claimed it.
        folder: Of the job's files; there may be none yet.
    """

    def __init__(self, database: Database, job: Job, worker: str, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.key: str = job.key
        self.type = JobType(job.type)
        self.collection_id: int = job.collection_id
        self.collection: str = job.collection
        self.request: dict[str, Any] = job.request
        self.checkpoint: dict[str, Any] = job.checkpoint
        self._id: int = job.id
        self._worker = worker
        self._stage = job.stage
        self._told_at, self._asking = 0.0, Rhythm()
        self._steps: deque[tuple[float, int]] = deque()

    def commit(self, step: Callable[[Session], Step]) -> None:
        """Do a step: its changes and how far the job is with them, in one transaction.

        Args:
            step: Changes what it has to, and says from where another attempt goes on once this is stored.

        Raises:
            JobCancelledError: Nothing was stored.
            JobLostError: Nothing was stored.
        """

        def unit(session: Session) -> Step:
            repository = self._guarded(session)
            done = step(session)
            timed, told = self._timed(done.progress)
            repository.save(self._id, done.checkpoint, timed, told=told)
            return done

        self.checkpoint = self.database.write(unit).result().checkpoint

    def report(self, progress: Progress) -> None:
        """Show how far the job is; takes time only when listeners are due to hear of it. Raises as `commit`."""
        timed, told = self._timed(progress)
        if told:
            self.database.write(lambda session: self._guarded(session).save(self._id, None, timed, told=True)).result()

    def reload(self) -> None:
        """Take the checkpoint from the database, where a step may be stored whose end was not heard of."""

        def unit(session: Session) -> dict[str, Any]:
            return session.get_one(Job, self._id).checkpoint

        self.checkpoint = self.database.read(unit)

    def check(self) -> None:
        """Raise as `commit` where the job is to stop."""
        self.database.write(self._guarded).result()

    def is_cancelled(self) -> bool:
        """Whether the job is to stop; asks now and then only."""
        if not self._asking.is_due(TELL_S):
            return False
        try:
            self.check()
        except (JobCancelledError, JobLostError):
            return True
        except UnavailableError:
            return False  # the database is away for a moment
        return False

    def _guarded(self, session: Session) -> JobRepository:
        """The repository, if the job is ours still: asked in the step's own transaction, so that nobody else has it."""
        repository = JobRepository(session)
        if repository.renew(self._worker, self._id) is JobState.CANCELLING:
            raise JobCancelledError("the job was cancelled")
        return repository

    def _timed(self, progress: Progress) -> tuple[Progress, bool]:
        now = time.monotonic()
        if progress.stage != self._stage or (self._steps and progress.done < self._steps[-1][1]):
            self._steps.clear()  # another stage, or the same once more: a refit after its training
        told = progress.stage != self._stage or now - self._told_at >= TELL_S
        self._stage = progress.stage
        if told:
            self._told_at = now
        self._steps.append((now, progress.done))
        while len(self._steps) > 2 and now - self._steps[0][0] > _SPEED_S:
            self._steps.popleft()
        (since, before) = self._steps[0]
        speed = (progress.done - before) / (now - since) if now > since else None
        return replace(progress, per_second=speed), told
