"""The server's part in jobs: starts workers when there is work, and ends jobs whose changes have become searchable."""

import shutil
import threading
import time
from collections.abc import Callable, Set
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.orm import Session

from app.db import Database
from app.errors import UnavailableError
from app.job.names import worker_name
from app.job.processes import WorkerProcesses
from app.job.repository import INDEXING, JobRepository, Progress, claimable
from app.job.tables import Job, JobState, JobType

WORKER_TYPES: Final = (JobType.IMPORT, JobType.EXPORT)
"""What workers do; the rest is the servers' own."""

_LOOK_S: Final = 0.5
_AWAY_S: Final = 1.0
_TIDY_S: Final = 600.0
_YOUNG_S: Final = 24 * 3600.0

_log = structlog.get_logger(__name__)


class Dispatcher:
    """A thread that looks after the jobs.

    Args:
        database: The truth.
        jobs: Folder of the jobs' files.
        processes: Starts workers; None where all workers are apart.
        visible: What searches of this server have reached.
        is_alone: Whether no other server or worker can be at work on this database.
    """

    def __init__(
        self,
        database: Database,
        jobs: Path,
        processes: WorkerProcesses | None,
        visible: Callable[[int], int | None],
        *,
        is_alone: bool,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._processes = processes
        self._visible = visible
        self._is_alone = is_alone
        self._first_seen: dict[int, int] = {}  # what searches had reached when a job's changes were all stored
        self._tidied_at: float | None = None
        self._wakened = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and the workers with it: they go on from their checkpoints next time."""
        self._stopping.set()
        self._wakened.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._processes is not None:
            self._processes.stop()

    def wake(self) -> None:
        """Say that there is a new job."""
        self._wakened.set()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wakened.clear()
            try:
                if self._tidied_at is None:
                    self._begin()
                self._look()
                self._tidy()
            except Exception as error:  # the database may be away for a while
                _log.warning("dispatcher_failed", error=repr(error), exc_info=not isinstance(error, UnavailableError))
                self._stopping.wait(_AWAY_S)
            self._wakened.wait(_LOOK_S)

    def _begin(self) -> None:
        if self._is_alone:
            self._database.write(lambda session: JobRepository(session).release_all()).result()

    def _look(self) -> None:
        unfinished = self._database.read(_unfinished)
        for job in unfinished:
            if job.stage == INDEXING:
                self._follow(job)
        if self._processes is not None:
            for pid in self._processes.reap():
                self._database.write(partial(_release_worker, pid=pid)).result()
            running = sum(job.worker is not None and job.type in WORKER_TYPES for job in unfinished)
            self._processes.provide(running + len(claimable(unfinished, WORKER_TYPES, datetime.now(UTC))))

    def _follow(self, job: Job) -> None:
        """Show how much of what a job stored can be found, and end it once all can."""
        assert job.seq is not None
        visible = self._visible(job.collection_id)
        if visible is None:
            return
        first = self._first_seen.setdefault(job.id, min(visible, job.seq))
        if visible >= job.seq:
            self._first_seen.pop(job.id)
            self._database.write(lambda session: _end(session, job.id)).result()
            return
        progress = Progress(INDEXING, visible - first, job.seq - first, "changes")
        self._database.write(lambda session: _show(session, job.id, progress)).result()

    def _tidy(self) -> None:
        """Forget old jobs, and what is left of forgotten ones."""
        now = time.monotonic()
        if self._tidied_at is not None and now - self._tidied_at < _TIDY_S:
            return
        self._tidied_at = now
        self._database.write(lambda session: JobRepository(session).forget_old()).result()
        known = self._database.read(lambda session: JobRepository(session).list_keys())
        remove_left_overs(self._jobs, known)


def remove_left_overs(jobs: Path, known: Set[str]) -> None:
    """Remove the folders of jobs that there are not; young ones may be uploads whose job is about to be."""
    for folder in jobs.glob("*"):
        if folder.name not in known and time.time() - folder.stat().st_mtime > _YOUNG_S:
            shutil.rmtree(folder, ignore_errors=True)


def _release_worker(session: Session, pid: int) -> None:
    JobRepository(session).release_like(worker_name(pid, ""))


def _unfinished(session: Session) -> list[Job]:
    found = JobRepository(session).list_unfinished()
    session.expunge_all()
    return found


def _end(session: Session, job_id: int) -> None:
    job = session.get(Job, job_id, with_for_update=True)
    if job is not None and job.state == JobState.RUNNING and job.stage == INDEXING:  # another server may be faster
        total = job.total or job.done
        JobRepository(session).finish(job_id, JobState.SUCCEEDED, result=job.result)
        job.done = total


def _show(session: Session, job_id: int, progress: Progress) -> None:
    job = session.get(Job, job_id, with_for_update=True)
    if job is not None and job.stage == INDEXING and job.state == JobState.RUNNING and progress.done > job.done:
        JobRepository(session).save(job_id, None, progress, told=True)
