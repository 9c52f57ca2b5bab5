"""The end of a job that made a release: once a server has it up to date in memory, it answers."""

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from sqlalchemy.orm import Session

from app.db import Database
from app.job.repository import CATCHING_UP, JobRepository, Progress
from app.job.tables import Job, JobState
from app.release.repository import ReleaseRepository
from app.release.tables import Release
from app.release.transitions import Releases
from app.serving.serving import Serving

_MOST_BEHIND: Final = 1000
"""Changes that may be missing when a release takes over; it answers once they are applied."""

_log = structlog.get_logger(__name__)


class Activator:
    """Activates releases; for one thread.

    Args:
        database: The truth.
        serving: What is in memory.
        tidy: Removes what is not needed any more.
        keep: See Releases.
    """

    def __init__(self, database: Database, serving: Serving, tidy: Callable[[], None], *, keep: int) -> None:
        self._database, self._serving, self._tidy, self._keep = database, serving, tidy, keep

    def advance(self, job: Job) -> None:
        """Bring a job of the stage CATCHING_UP to its end, or show how far it is."""
        release = self._database.read(partial(_release_of, job=job))
        if release is None:
            self._fail(job, "collection_gone", f"the collection {job.collection!r} was deleted meanwhile")
            return
        if (reason := self._serving.failure(release.id)) is not None:
            self._fail(job, "not_loaded", f"release {release.number} cannot be brought into memory: {reason}")
            return
        behind = self._serving.behind(release.id)
        if behind is None:
            return  # it is being loaded
        if behind > _MOST_BEHIND:
            progress = Progress(CATCHING_UP, unit="changes", note={"behind": behind})
            self._database.write(lambda session: _show(session, job.id, progress)).result()
            return
        self._database.write(lambda session: self._activate(session, job)).result()
        self._serving.wake()
        self._tidy()

    def _activate(self, session: Session, job: Job) -> None:
        found = session.get(Job, job.id, with_for_update=True)
        if found is None or not _is_ours(found):
            return  # another server was faster
        assert found.result is not None
        releases = Releases(session, found.collection, keep=self._keep)
        release = releases.get(found.result["release"])
        if release.number != releases.collection.active_release:
            releases.promote(release, found.request["who"], found.request["why"])
        JobRepository(session).finish(found.id, JobState.SUCCEEDED, result={**found.result, "state": release.state})
        _log.info("release_activated", collection=found.collection, release=release.number, job=found.key)

    def _fail(self, job: Job, code: str, detail: str) -> None:
        def unit(session: Session) -> None:
            found = session.get(Job, job.id, with_for_update=True)
            if found is not None and _is_ours(found):
                error = {"code": code, "detail": detail}
                JobRepository(session).finish(found.id, JobState.FAILED, result=found.result, error=error)
                if (release := _find_release(session, found)) is not None:
                    release.is_warm = False  # else servers would try again for ever

        self._database.write(unit).result()


def _release_of(session: Session, job: Job) -> Release | None:
    release = _find_release(session, job)
    if release is not None:
        session.expunge(release)
    return release


def _find_release(session: Session, job: Job) -> Release | None:
    assert job.result is not None
    return ReleaseRepository(session).find(job.collection_id, job.result["release"])


def _is_ours(job: Job) -> bool:
    return job.state == JobState.RUNNING and job.stage == CATCHING_UP


def _show(session: Session, job_id: int, progress: Progress) -> None:
    job = session.get(Job, job_id, with_for_update=True)
    if job is not None and _is_ours(job):
        JobRepository(session).save(job_id, None, progress, told=True)
