"""What the server says of jobs."""

from datetime import datetime
from typing import Any, Literal

from samesay.answers.base import Answer

JobState = Literal["queued", "running", "succeeded", "failed", "cancelling", "cancelled"]


class JobProgress(Answer):
    """How far a job is."""

    stage: str
    done: int
    total: int | None
    unit: str
    per_second: float | None
    eta_s: float | None
    note: dict[str, float]


class JobProblem(Answer):
    """Why a job failed."""

    code: str
    detail: str


class JobData(Answer):
    """A job."""

    id: str
    type: str
    state: JobState
    collection: str
    progress: JobProgress
    result: dict[str, Any] | None
    error: JobProblem | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobEvent(Answer):
    """A moment of a job; `number` is where its event stream can be gone on with."""

    number: int
    state: JobState
    progress: JobProgress


class RowResult(Answer):
    """What became of one row of an import, with a status like HTTP's."""

    line: int
    status: int
    code: str
    id: str | None = None
    detail: str | None = None
