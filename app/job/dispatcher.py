"""The server's part in jobs: starts workers when there is work, and ends jobs whose changes have become searchable."""

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.orm import Session

from app.background import Background, Rhythm
from app.db.database import Database
from app.errors import UnavailableError
from app.job.names import worker_name
from app.job.processes import WorkerProcesses
from app.job.repository import CATCHING_UP, INDEXING, JobRepository, Progress, claimable
from app.job.tables import UNFINISHED, Job, JobState, JobType

_LOOK_S: Final = 0.5
_AWAY_S: Final = 1.0
_DIED_S: Final = 1.0
_TIDY_S: Final = 600.0
_YOUNG_S: Final = 24 * 3600.0

CleanUps = Mapping[JobType, Callable[[Path, JobState], None]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers of a server, and the types of jobs they run."""

    processes: WorkerProcesses
    types: tuple[JobType, ...]


class Dispatcher(Background):
    """Looks after the jobs.

    Args:
        database: The truth.
        jobs: Folder of the jobs' files.
        pools: The workers of this server; none where all are apart.
        visible: What searches of this server have reached.
        activate: Brings a job to its end whose release is to catch up and answer.
        clean_ups: Of each type's duty; called again for jobs that are over, since their workers may have died first.
        tidy: Removes what other features do not need any more; called now and then.
    """

    def __init__(
        self,
        database: Database,
        jobs: Path,
        pools: Sequence[Pool],
        visible: Callable[[int], int | None],
        activate: Callable[[Job], None],
        clean_ups: CleanUps,
        tidy: Callable[[], None],
    ) -> None:
        super().__init__("dispatcher")
        self._database = database
        self._jobs = jobs
        self._pools = pools
        self._visible = visible
        self._activate, self._clean_ups, self._tidy_more = activate, clean_ups, tidy
        self._rests_until = dict.fromkeys(range(len(pools)), 0.0)
        self._first_seen: dict[int, int] = {}  # what searches had reached when a job's changes were all stored
        self._tidying = Rhythm()
        self._wakened = threading.Event()

    def stop(self) -> None:
        """End, and the workers with it: they go on from their checkpoints next time."""
        self._stopping.set()
        self.wake()
        super().stop()
        for pool in self._pools:
            pool.processes.stop()

    def wake(self) -> None:
        """Say that there is a new job."""
        self._wakened.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wakened.clear()
            try:
                self._look()
                if self._tidying.is_due(_TIDY_S):
                    self._tidy()
            except Exception as error:  # the database may be away for a while
                _log.warning("dispatcher_failed", error=repr(error), exc_info=not isinstance(error, UnavailableError))
                self._stopping.wait(_AWAY_S)
            self._wakened.wait(_LOOK_S)

    def _look(self) -> None:
        unfinished = self._database.read(_unfinished)
        indexing = {job.id for job in unfinished if job.stage == INDEXING}  # another server may have ended the others
        self._first_seen = {job_id: seq for job_id, seq in self._first_seen.items() if job_id in indexing}
        for job in unfinished:
            if job.stage == INDEXING:
                self._follow(job)
            elif job.stage == CATCHING_UP:
                self._activate(job)
        for number, pool in enumerate(self._pools):
            self._provide(number, pool, unfinished)

    def _provide(self, number: int, pool: Pool, unfinished: list[Job]) -> None:
        """See that there are workers for what ours run and what nobody runs."""
        processes = pool.processes
        died = processes.reap()
        for pid in died:
            self._database.write(partial(_release_worker, pid=pid)).result()
        now = time.monotonic()
        if died:
            self._rests_until[number] = now + _DIED_S  # whatever killed it may kill the next one
        if now < self._rests_until[number]:
            return
        own = tuple(worker_name(pid, "") for pid in processes.pids)
        busy = sum(job.worker is not None and job.worker.startswith(own) for job in unfinished) if own else 0
        processes.provide(busy + len(claimable(unfinished, pool.types, datetime.now(UTC))))

    def _follow(self, job: Job) -> None:
        """Show how much of what a job stored can be found, and end it once all can."""
        assert job.seq is not None
        visible = self._visible(job.collection_id)
        if visible is None:
            return  # it is being loaded
        first = self._first_seen.setdefault(job.id, min(visible, job.seq))
        if visible >= job.seq:
            self._database.write(lambda session: _end(session, job.id)).result()
            return
        progress = Progress(INDEXING, visible - first, job.seq - first, "changes")
        self._database.write(lambda session: _show(session, job.id, progress)).result()

    def _tidy(self) -> None:
        """Forget old jobs; remove the files of those, and of all whose collection was deleted."""
        forgotten = self._database.write(lambda session: JobRepository(session).forget_old()).result()
        bereft = self._database.read(lambda session: JobRepository(session).list_bereft())
        for key in (*forgotten, *bereft):
            shutil.rmtree(self._jobs / key, ignore_errors=True)
        known = self._database.read(lambda session: JobRepository(session).list_states())
        tidy_files(self._jobs, known, self._clean_ups)
        self._tidy_more()


def tidy_files(jobs: Path, known: Mapping[str, tuple[JobType, JobState]], clean_ups: CleanUps) -> None:
    """Remove what nobody needs: what finished jobs worked with, and the folders of jobs that there are not.

    Args:
        jobs: Folder of the jobs' files.
        known: Type and state of the jobs, by their keys.
        clean_ups: What to do in the folder of a job that is over, by type.
    """
    for folder in jobs.glob("*"):
        kind, state = known.get(folder.name, (None, None))
        with suppress(OSError):  # it goes just now, or cannot be removed: the others are tidied all the same
            if kind is None or state is None:
                if time.time() - _touched_at(folder) > _YOUNG_S:  # else it may be an upload whose job is about to be
                    shutil.rmtree(folder, ignore_errors=True)
            elif state not in UNFINISHED and kind in clean_ups:
                clean_ups[kind](folder, state)


def _touched_at(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.glob("*")))


def _release_worker(session: Session, pid: int) -> None:
    JobRepository(session).release_like(worker_name(pid, ""))


def _unfinished(session: Session) -> list[Job]:
    found = JobRepository(session).list_unfinished()
    session.expunge_all()
    return found


def _end(session: Session, job_id: int) -> None:
    job = session.get(Job, job_id, with_for_update=True)
    if job is not None and job.state == JobState.RUNNING and job.stage == INDEXING:  # another server may be faster
        JobRepository(session).finish(job_id, JobState.SUCCEEDED, result=job.result)


def _show(session: Session, job_id: int, progress: Progress) -> None:
    job = session.get(Job, job_id, with_for_update=True)
    if job is not None and job.stage == INDEXING and job.state == JobState.RUNNING and progress.done > job.done:
        JobRepository(session).save(job_id, None, progress, told=True)
