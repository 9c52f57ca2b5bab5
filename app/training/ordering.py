"""Ordering what makes releases, in the transaction of who calls."""

from typing import Any

from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.feedback.retraining import training_ordered
from app.ids import IdSource
from app.job.kinds import Kind
from app.job.repository import JobRepository, new_job
from app.job.schemas import JobAnswer
from app.job.service import to_answer
from app.job.tables import TYPES_OF, Job, JobState, JobType
from app.training.schemas import JudgedRequest, TrainingRequest


def order(session: Session, kind: JobType, collection: Collection, request: dict[str, Any]) -> JobAnswer:
    """Queue a job; what was accepted until now counts for this training, and no more for the next."""
    job = new_job(IdSource().take(), kind, collection.id, collection.name, request)
    JobRepository(session).add(job)
    if kind is JobType.TRAINING:
        training_ordered(session, collection.id)
    return to_answer(job)


def order_by_itself(session: Session, collection: Collection, who: str) -> bool:
    """Queue a training with the defaults, since enough feedback was accepted; not while a release is being made."""
    if any(job.collection_id == collection.id for job in unfinished(session)):
        return False
    order(session, JobType.TRAINING, collection, to_request(TrainingRequest(why="enough feedback was accepted"), who))
    return True


def last_order(session: Session, collection: Collection, release: int) -> Job | None:
    """The newest of a collection's unfinished jobs that make releases, if it is to let this release answer."""
    last = next((job for job in reversed(unfinished(session)) if job.collection_id == collection.id), None)
    if last is None or last.type != JobType.PROMOTION or last.state == JobState.CANCELLING:
        return None
    return last if last.request["release"] == release else None


def unfinished(session: Session) -> list[Job]:
    """The jobs that make releases and are not over."""
    return JobRepository(session).list_unfinished(TYPES_OF[Kind.RELEASES])


def to_request(wanted: JudgedRequest, who: str) -> dict[str, Any]:
    """What a job keeps of a request."""
    return {**wanted.model_dump(mode="json", exclude={"when_busy"}), "who": who}
