"""The tables of jobs and of what happened to them."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import NOW, Base, BigId, UtcDateTime
from app.job.kinds import Kind


class JobType(StrEnum):
    """What a job does."""

    IMPORT = "import"
    EXPORT = "export"
    COMPACTION = "compaction"
    REBUILD = "rebuild"
    TRAINING = "training"
    ADOPTION = "adoption"
    PROMOTION = "promotion"


TYPES_OF: Final = {
    Kind.FILES: (JobType.IMPORT, JobType.EXPORT),
    Kind.RELEASES: (JobType.TRAINING, JobType.ADOPTION, JobType.PROMOTION),
}
"""What workers run, by kind; the rest is the servers' own."""


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


UNFINISHED: Final = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)


class Job(Base):
    """A piece of long work; this row is the truth about it.

    Attributes:
        id: Counts up, in the order in which jobs came.
        key: Random; what clients know it by.
        collection_id: Of the collection it works on, which may be gone by now.
        request: What was asked for.
        checkpoint: How far it came, written in the transaction of what it stored: it goes on from there.
        seq: Change that searches must reach before the job is over; null before all is stored.
        stage: What it is doing.
        done: Units done in this stage, of `total` where that is known.
        per_second: Units a second of late.
        note: More figures of this stage, such as a training's loss.
        attempts: How often a worker began or took over.
        stalls: How often in a row without coming any further.
        n_events: Events so far.
        worker: Who runs it.
        lease_until: Another worker may take it over from then on; null where nobody runs it.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(32), unique=True)
    type: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    collection_id: Mapped[int] = mapped_column(BigInteger)
    collection: Mapped[str] = mapped_column(String(63))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    checkpoint: Mapped[dict[str, Any]] = mapped_column(JSON)
    seq: Mapped[int | None] = mapped_column(BigInteger)
    stage: Mapped[str] = mapped_column(String(16))
    done: Mapped[int] = mapped_column(BigInteger, default=0)
    total: Mapped[int | None] = mapped_column(BigInteger)
    unit: Mapped[str] = mapped_column(String(16))
    per_second: Mapped[float | None]
    note: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    attempts: Mapped[int] = mapped_column(default=0)
    stalls: Mapped[int] = mapped_column(default=0)
    n_events: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobEvent(Base):
    """Something that happened to a job, as its listeners are told.

    Attributes:
        number: Counts up from 1 in each job; the id of the event in a stream.
        data: State, stage and progress at that moment.
    """

    __tablename__ = "job_events"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
