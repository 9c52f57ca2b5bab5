"""A worker: takes jobs, runs them one after another, and lets everybody know that it lives."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy.orm import Session

from app.background import Background
from app.db.database import Database
from app.errors import ServiceError, UnavailableError
from app.job.errors import JobCancelledError, JobFailedError, JobLostError
from app.job.repository import LEASE, MOST_STALLS, JobRepository, Progress, claimable
from app.job.run import Handover, JobRun
from app.job.tables import UNFINISHED, Job, JobState, JobType
from model.contract.errors import SamesayError
from model.contract.files import NO_ROOM

Handler = Callable[[JobRun], dict[str, Any] | Handover]
"""Runs a job from its checkpoint to its end; returns the result, or hands the end over to the servers."""

_BEAT_S: Final = LEASE.total_seconds() / 5
_PATIENCE: Final = 2
"""Beats that a cancelled job may go on for."""

_RETRY_S: Final = 1.0
_MOST_RETRIES: Final = 5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """What to do for one type of job.

    Attributes:
        run: Runs it.
        clean_up: Removes from the folder of a job what is of no use once it has ended in this state.
        so_far: What came of a job that did not reach its end; nothing, unless said.
    """

    run: Handler
    clean_up: Callable[[Path, JobState], None]
    so_far: Callable[[JobRun], dict[str, Any] | None] = lambda run: None


class Worker:
    """Runs jobs of the types that it has duties for.

    Args:
        database: The truth.
        duties: By type.
        name: Its own among all workers.
        jobs: Folder of the jobs' files.
        served: Whether it can run the jobs of a collection.
        give_up: Ends this process; called where a job was cancelled and does not stop.
    """

    def __init__(
        self,
        database: Database,
        duties: Mapping[JobType, Duty],
        name: str,
        jobs: Path,
        *,
        served: Callable[[int], bool] = lambda _: True,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._duties = duties
        self._name = name
        self._jobs = jobs
        self._served = served
        self._give_up = give_up

    def run_next(self) -> bool:
        """Run one job to its end; false where there is none to run."""
        if not self._database.read(self._has_any):
            return False  # most looks find nothing: no reason to write
        job = self._database.write(self._claim).result()
        if job is None:
            return False
        run = JobRun(self._database, job, self._name, self._jobs / job.key)
        with _Heart(self._database, self._name, job.id, self._give_up):
            try:
                self._run(job, run)
            except JobLostError:
                _log.warning("job_lost", job=job.key)
                self._clean_up_if_over(job)
        return True

    def let_go(self, timeout_s: float | None = None) -> None:
        """Let another worker go on at once with what was given up, since this one is to end; no fault of the job.

        Raises:
            UnavailableError: The database is away; the lease runs out by itself.
            TimeoutError: It did not answer within so many seconds.
        """
        self._database.write(lambda session: JobRepository(session).release(self._name)).result(timeout_s)

    def _has_any(self, session: Session) -> bool:
        unfinished = JobRepository(session).list_unfinished()
        return bool(claimable(unfinished, tuple(self._duties), datetime.now(UTC), self._served))

    def _claim(self, session: Session) -> Job | None:
        job = JobRepository(session).claim(self._name, tuple(self._duties), self._served)
        if job is not None:
            session.expunge(job)  # with its values: the end of the transaction would take them away
        return job

    def _run(self, job: Job, run: JobRun) -> None:
        _log.info("job_begun", job=job.key, type=job.type, collection=job.collection, attempt=job.attempts)
        duty = self._duties[run.type]
        try:
            if job.state == JobState.CANCELLING:
                raise JobCancelledError("the job was cancelled")
            if job.stalls > MOST_STALLS:
                raise JobFailedError(
                    "worker_died", f"{MOST_STALLS} workers died of this job without coming further: see their logs"
                )
            done = self._repeated(duty, run)
        except JobLostError:
            raise
        except JobCancelledError:
            self._finish(job, JobState.CANCELLED, duty.so_far(run))
        except JobFailedError as error:
            self._fail(job, run, error.code, error.detail)
        except ServiceError as error:
            self._fail(job, run, error.code, error.detail)
        except SamesayError as error:
            self._fail(job, run, "failed", str(error))
        except OSError as error:
            _log.exception("job_failed", job=job.key)
            code = "storage_full" if error.errno in NO_ROOM else "storage_unavailable"
            remedy = "look at the data folder's disk, its free space and its rights, then start it again"
            self._fail(job, run, code, f"the job's files cannot be written ({error.strerror}): {remedy}")
        except Exception:
            _log.exception("job_failed", job=job.key)
            self._fail(job, run, "internal_error", "the worker failed on this job; its log has more under the job's id")
        else:
            self._succeed(job, run, done)

    def _repeated(self, duty: Duty, run: JobRun) -> dict[str, Any] | Handover:
        """Run it; a database that is away for a moment is no reason to fail."""
        retries, is_in_doubt = 0, False
        while True:
            before = run.checkpoint
            try:
                if is_in_doubt:
                    run.reload()  # the step that failed may be stored all the same, and is not to be done twice
                return duty.run(run)
            except UnavailableError as error:
                retries, is_in_doubt = 0 if run.checkpoint != before else retries + 1, True
                if retries > _MOST_RETRIES:
                    raise
                _log.warning("job_waits", job=run.key, reason=error.detail)
                threading.Event().wait(_RETRY_S * retries)

    def _succeed(self, job: Job, run: JobRun, done: dict[str, Any] | Handover) -> None:
        if not isinstance(done, Handover):
            self._finish(job, JobState.SUCCEEDED, done)
            return
        progress = Progress(done.stage, unit="changes")
        try:
            self._end(job, lambda jobs: jobs.hand_over(job.id, done.seq, progress, done.result), JobState.SUCCEEDED)
        except JobCancelledError:
            self._finish(job, JobState.CANCELLED, self._duties[run.type].so_far(run))

    def _fail(self, job: Job, run: JobRun, code: str, detail: str) -> None:
        self._finish(job, JobState.FAILED, self._duties[run.type].so_far(run), {"code": code, "detail": detail})

    def _finish(
        self, job: Job, state: JobState, result: dict[str, Any] | None, error: dict[str, Any] | None = None
    ) -> None:
        self._end(job, lambda jobs: jobs.finish(job.id, state, result=result, error=error), state)

    def _end(self, job: Job, end: Callable[[JobRepository], None], state: JobState) -> None:
        def unit(session: Session) -> None:
            repository = JobRepository(session)
            repository.renew(self._name, job.id)
            end(repository)

        self._database.write(unit).result()
        self._duties[JobType(job.type)].clean_up(self._jobs / job.key, state)
        _log.info("job_ended", job=job.key, state=state)

    def _clean_up_if_over(self, job: Job) -> None:
        """Of a lost job whose collection was deleted; what another worker goes on with stays as it is."""
        found = self._database.read(lambda session: JobRepository(session).list_states()).get(job.key)
        if found is not None and found[1] not in UNFINISHED:
            self._duties[found[0]].clean_up(self._jobs / job.key, found[1])


class _Heart(Background):
    """Gives signs of life while a job runs; one that was cancelled and does not stop is left to another worker."""

    def __init__(self, database: Database, worker: str, job_id: int, give_up: Callable[[], None]) -> None:
        super().__init__("heart")
        self._database, self._worker, self._job_id = database, worker, job_id
        self._give_up = give_up

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        cancelled = 0
        while not self._stopping.wait(_BEAT_S):
            try:
                state = self._database.write(self._renew).result()
            except JobLostError:
                return  # whoever runs it hears of that at its next step
            except SamesayError as error:  # the database is away: the lease may run out, and that is right
                _log.warning("heartbeat_failed", error=str(error))
                continue
            cancelled += state is JobState.CANCELLING
            if cancelled >= _PATIENCE:
                try:
                    self._database.write(lambda session: JobRepository(session).release(self._worker)).result()
                finally:
                    self._give_up()

    def _renew(self, session: Session) -> JobState:
        return JobRepository(session).renew(self._worker, self._job_id)
