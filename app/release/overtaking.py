"""Orders to promote that a later choice has overtaken: what a person chooses last stands."""

from typing import Any

from app.job.repository import JobRepository
from app.job.tables import Job, JobState, JobType
from app.release.tables import Release
from app.release.transitions import Releases, cool


def overtaken(job: Job, number: int, active: int) -> dict[str, Any]:
    """The error of a job that was to let a release of this number answer, in whose place another one does."""
    detail = (
        f"release {number} could not answer before release {active} was chosen to answer meanwhile: "
        f"`samesay releases promote {job.collection} {number}` orders it again"
    )
    return {"code": "overtaken", "detail": detail}


def end_promotions(jobs: JobRepository, releases: Releases, chosen: Release, before: int) -> None:
    """End the jobs by which other releases were to answer, ordered before a person chose this one.

    Args:
        jobs: Locked, before the releases were: see `JobRepository.lock_of`.
        releases: Of the collection.
        chosen: What answers now.
        before: Number of what answered until now, which stays at hand.
    """
    for job in jobs.list_unfinished((JobType.PROMOTION,)):
        number = job.request["release"]
        if job.collection_id != releases.collection.id or number == chosen.number or job.state == JobState.CANCELLING:
            continue
        jobs.finish(job.id, JobState.FAILED, result=job.result, error=overtaken(job, number, chosen.number))
        if number != before:
            cool(releases.get(number))
