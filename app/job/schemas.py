"""What clients get about jobs."""

from datetime import datetime
from typing import Any

from app.job.tables import JobState, JobType
from app.schemas import Answer


class ProgressAnswer(Answer):
    """How far a job is.

    Attributes:
        stage: What it is doing.
        done: Units done in this stage.
        total: Units of this stage; null while nobody knows.
        per_second: Units a second of late; null before there is anything to tell.
        eta_s: Seconds until this stage is done, at that speed.
        note: More figures of this stage, such as a training's epoch, loss and metric.
    """

    stage: str
    done: int
    total: int | None
    unit: str
    per_second: float | None
    eta_s: float | None
    note: dict[str, float]


class JobErrorAnswer(Answer):
    """Why a job failed."""

    code: str
    detail: str


class JobAnswer(Answer):
    """A job.

    Attributes:
        result: What came of it, also of one that failed or was cancelled on the way; its fields depend on the type.
        attempts: How often a worker began it or took it over.
    """

    id: str
    type: JobType
    state: JobState
    collection: str
    progress: ProgressAnswer
    result: dict[str, Any] | None
    error: JobErrorAnswer | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
