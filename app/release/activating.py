"""The end of a job that made a release: once a server has it up to date in memory, it answers."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.db.database import Database
from app.job.repository import CATCHING_UP, JobRepository, Progress
from app.job.tables import Job, JobState
from app.release.overtaking import overtaken
from app.release.repository import ReleaseRepository
from app.release.tables import Release
from app.release.transitions import Releases, cool
from app.serving.serving import Serving

_MOST_BEHIND: Final = 1000
"""Changes that may be missing when a release takes over; it answers once they are applied."""

_TRIES: Final = 3
"""A release that could not be loaded so often is given up; a folder may be away for a moment, or from one server."""

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
        found = self._database.read(partial(_look, job=job))
        if found is None:
            detail = f"the collection {job.collection!r} was deleted meanwhile"
            self._fail(job, {"code": "collection_gone", "detail": detail})
            return
        release, active = found
        if not release.is_warm and release.number != active:
            self._fail(job, overtaken(job, release.number, active))
            return
        if (failure := self._serving.failure(release.id)) is not None:
            if failure.times >= _TRIES:
                detail = f"release {release.number} cannot be brought into memory: {failure.reason}"
                self._fail(job, {"code": "not_loaded", "detail": detail})
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
        release, active = releases.get(found.result["release"]), releases.collection.active_release
        left = _why_left(found, release, active)
        if left is None and release.number != active:
            releases.promote(release, found.request["who"], found.request["why"])
        result = {**found.result, "state": release.state, **({"not_promoted": left} if left is not None else {})}
        JobRepository(session).finish(found.id, JobState.SUCCEEDED, result=result)
        said = "release_activated" if left is None else "release_left_to_a_person"
        _log.info(said, collection=found.collection, release=release.number, job=found.key)

    def _fail(self, job: Job, error: dict[str, Any]) -> None:
        def unit(session: Session) -> None:
            found = session.get(Job, job.id, with_for_update=True)
            if found is not None and _is_ours(found):
                JobRepository(session).finish(found.id, JobState.FAILED, result=found.result, error=error)
                if (release := _find_release(session, found)) is not None:
                    cool(release)  # else servers would try again for ever

        self._database.write(unit).result()


def _look(session: Session, job: Job) -> tuple[Release, int] | None:
    """The release, and the number of the one that is active; None where the collection is gone."""
    release, collection = _find_release(session, job), session.get(Collection, job.collection_id)
    if release is None or collection is None:
        return None
    session.expunge(release)
    return release, collection.active_release


def _why_left(job: Job, release: Release, active: int) -> str | None:
    """Why a person is to promote what the job made: another was chosen since it was judged; else None."""
    if release.job != job.key or release.report is None or active == release.number:
        return None  # a person ordered it, or promoted it already
    against = release.report["previous"]
    if active == against and release.activated_at is None:
        return None
    return (
        f"release {active} was chosen to answer after release {release.number} was judged against release {against}: "
        f"`samesay releases promote {job.collection} {release.number}` lets it answer all the same"
    )


def _find_release(session: Session, job: Job) -> Release | None:
    assert job.result is not None
    return ReleaseRepository(session).find(job.collection_id, job.result["release"])


def _is_ours(job: Job) -> bool:
    return job.state == JobState.RUNNING and job.stage == CATCHING_UP


def _show(session: Session, job_id: int, progress: Progress) -> None:
    job = session.get(Job, job_id, with_for_update=True)
    if job is not None and _is_ours(job):
        JobRepository(session).save(job_id, None, progress, told=True)
