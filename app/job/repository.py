"""Jobs in the database: who may run them, how far they came, and what is told of them."""

from collections.abc import Callable, Mapping
from collections.abc import Collection as AnyOf
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.db.base import sought, table_of
from app.errors import NotFoundError
from app.job.errors import JobCancelledError, JobLostError
from app.job.kinds import Kind
from app.job.tables import TYPES_OF, UNFINISHED, Job, JobEvent, JobState, JobType

LEASE: Final = timedelta(seconds=10)
"""So long after its last sign of life a worker counts as dead."""

MOST_STALLS: Final = 5
"""A job whose workers died so often in a row without coming further is given up: it would kill the next one too."""

MOST_EVENTS: Final = 1000
"""Newest events that are kept of a job."""

MOST_KEPT: Final = 200
"""Finished jobs of each type that are kept, those that ended last."""

INDEXING: Final = "indexing"
"""Stage of a job whose changes are all stored and not all searchable yet; a server ends it."""

CATCHING_UP: Final = "catching_up"
"""Stage of a job whose release is built and not up to date in memory yet; a server ends it."""

HANDED_OVER: Final = (INDEXING, CATCHING_UP)

SERIAL: Final = ((JobType.IMPORT,), TYPES_OF[Kind.RELEASES])
"""Jobs of the same of these sets run one after another in each collection."""

_MOST_FORGOTTEN: Final = 10_000

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)

_EVENTS = table_of(JobEvent)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: units done in a stage, of `total` where that is known, and more figures if there are any."""

    stage: str
    done: int = 0
    total: int | None = None
    unit: str = "rows"
    per_second: float | None = None
    note: Mapping[str, float] = field(default_factory=dict)


def new_job(key: str, kind: JobType, collection_id: int, collection: str, request: dict[str, Any]) -> Job:
    """A job that waits for a worker."""
    return Job(
        key=key,
        type=kind,
        state=JobState.QUEUED,
        collection_id=collection_id,
        collection=collection,
        request=request,
        checkpoint={},
        stage=JobState.QUEUED,
        unit="rows",
    )


def no_such_job(key: str) -> NotFoundError:
    """What to raise where there is none."""
    return NotFoundError(f"there is no job {key[:64]!r}: GET /v1/jobs lists them; old ones are forgotten")


class JobRepository:
    """Reads and writes jobs.

    Args:
        session: Of the unit of work.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, job: Job) -> None:
        """Store a new one, and what there is to tell of it."""
        self._session.add(job)
        self._session.flush()
        self._session.refresh(job)
        self.tell(job)

    def find(self, key: str) -> Job | None:
        """The job that clients know by this key."""
        return self._session.scalars(select(Job).where(Job.key == sought(key))).first()

    def get(self, key: str) -> Job:
        """`find`, or raise NotFoundError."""
        found = self.find(key)
        if found is None:
            raise no_such_job(key)
        return found

    def get_locked(self, key: str) -> Job:
        """`get`, keeping every other writer of the row out until the transaction ends."""
        found = self._session.scalars(select(Job).where(Job.key == sought(key)).with_for_update()).first()
        if found is None:
            raise no_such_job(key)
        return found

    def list_page(
        self, before: int, limit: int, collection: str | None, states: AnyOf[str], within: AnyOf[str] | None = None
    ) -> list[Job]:
        """Up to `limit` jobs, newest first, of ids below `before`; 0 from the newest on.

        Of those collections only that are `within`, if that is given.
        """
        statement = select(Job).order_by(Job.id.desc()).limit(limit)
        if before:
            statement = statement.where(Job.id < before)
        if collection is not None:
            statement = statement.where(Job.collection == sought(collection))
        if within is not None:
            statement = statement.where(Job.collection.in_(within))
        if states:
            statement = statement.where(Job.state.in_(states))
        return list(self._session.scalars(statement))

    def list_unfinished(self, types: AnyOf[JobType] = tuple(JobType)) -> list[Job]:
        """Every job that is not over, oldest first."""
        statement = select(Job).where(Job.state.in_(UNFINISHED), Job.type.in_(types)).order_by(Job.id)
        return list(self._session.scalars(statement))

    def encoders_ordered(self) -> set[str]:
        """The sha256 of the encoders that jobs which are not over are to make releases of."""
        requests = [job.request for job in self.list_unfinished(TYPES_OF[Kind.RELEASES])]
        return {request["encoder"] for request in requests if "encoder" in request}

    def claim(self, worker: str, types: AnyOf[JobType], served: Callable[[int], bool] = lambda _: True) -> Job | None:
        """Take the oldest job that can be run now: a new one, or one whose worker is dead.

        Args:
            worker: Who takes it.
            types: Of jobs that it can run.
            served: Whether it can run those of a collection.
        """
        now = datetime.now(UTC)
        for job_id in claimable(self.list_unfinished(), types, now, served):
            free = or_(Job.state == JobState.QUEUED, Job.lease_until <= now)
            running = func.coalesce(func.nullif(Job.state, JobState.QUEUED), JobState.RUNNING)
            taken = self._session.execute(
                update(Job)
                .where(Job.id == job_id, free)
                .values(
                    state=running,
                    worker=worker,
                    lease_until=now + LEASE,
                    attempts=Job.attempts + 1,
                    stalls=Job.stalls + 1,
                    started_at=func.coalesce(Job.started_at, now),
                )
                .execution_options(synchronize_session=False)
            )
            if taken.rowcount:  # type: ignore[attr-defined]
                job = self._session.get_one(Job, job_id, populate_existing=True)
                self.tell(job)
                self._session.flush()
                return job
        return None

    def renew(self, worker: str, job_id: int) -> JobState:
        """Give a sign of life; returns the job's state.

        Raises:
            JobLostError: This worker does not have it any more.
        """
        found = self._session.execute(
            update(Job)
            .where(Job.id == job_id, Job.worker == worker)
            .values(lease_until=datetime.now(UTC) + LEASE)
            .returning(Job.state)
            .execution_options(synchronize_session=False)
        ).scalar()
        if found is None:
            raise JobLostError("another worker has taken this job over")
        return JobState(found)

    def save(self, job_id: int, checkpoint: dict[str, Any] | None, progress: Progress, *, told: bool) -> None:
        """Store how far a job came; `told` whether its listeners are to hear of it."""
        job = self._session.get_one(Job, job_id, populate_existing=True)
        if checkpoint is not None:
            job.checkpoint, job.stalls = checkpoint, 0
        _show(job, progress)
        if told:
            self.tell(job)

    def hand_over(self, job_id: int, seq: int, progress: Progress, result: dict[str, Any]) -> None:
        """Leave the rest to the servers: the job is over when searches have reached the change `seq`.

        Raises:
            JobCancelledError: Somebody wants it to stop, and its release is not to answer then.
        """
        job = self._session.get_one(Job, job_id, populate_existing=True)
        if job.state == JobState.CANCELLING and progress.stage == CATCHING_UP:
            raise JobCancelledError("the job was cancelled")
        job.seq, job.result, job.worker, job.lease_until = seq, result, None, None
        job.state = JobState.RUNNING  # an import cancelled at the last moment: there is nothing left to cancel
        _show(job, progress)
        self.tell(job)

    def finish(
        self,
        job_id: int,
        state: JobState,
        *,
        result: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
    ) -> None:
        """End a job. One that has succeeded has done all of its last stage, also what was not worth telling of."""
        job = self._session.get_one(Job, job_id, populate_existing=True)
        if state is JobState.SUCCEEDED and job.total is not None:
            job.done = job.total
        job.state, job.result, job.error = state, result, error
        job.worker, job.lease_until, job.per_second = None, None, None
        job.finished_at = datetime.now(UTC)
        self.tell(job)

    def lock_of(self, collection: str, types: AnyOf[JobType] = tuple(JobType)) -> None:
        """Keep workers out of the unfinished jobs of a collection of this name, until the transaction ends."""
        held = select(Job.id).where(
            Job.collection == sought(collection), Job.state.in_(UNFINISHED), Job.type.in_(types)
        )
        self._session.execute(held.with_for_update()).all()

    def end_of_collection(self, collection_id: int) -> None:
        """End the jobs of a collection that is being deleted; whoever runs one has lost it."""
        for job in self.list_unfinished():
            if job.collection_id == collection_id:
                error = {"code": "collection_gone", "detail": f"the collection {job.collection!r} was deleted"}
                self.finish(job.id, JobState.FAILED, result=job.result, error=error)

    def release(self, worker: str) -> None:
        """Let what a worker runs be taken over at once, since it was told to end: the job is not at fault."""
        spared = update(Job).where(Job.worker == worker).values(stalls=case((Job.stalls > 0, Job.stalls - 1), else_=0))
        self._session.execute(spared.execution_options(synchronize_session=False))
        self._release(Job.worker == worker)

    def release_like(self, prefix: str) -> None:
        """`release` of workers whose names begin so."""
        self._release(Job.worker.startswith(prefix, autoescape=True))

    def release_all(self) -> None:
        """Let every job be taken over at once: no worker of before can be alive."""
        self._release(Job.lease_until.is_not(None))

    def tell(self, job: Job) -> None:
        """Write an event of the job as it is now."""
        job.n_events += 1
        self._session.flush()
        self._session.execute(insert(_EVENTS), {"job_id": job.id, "number": job.n_events, "data": event_of(job)})
        if job.n_events % 100 == 0:
            old = and_(_EVENTS.c.job_id == job.id, _EVENTS.c.number <= job.n_events - MOST_EVENTS)
            self._session.execute(delete(_EVENTS).where(old))

    def events(self, job_id: int, after: int) -> list[tuple[int, dict[str, Any]]]:
        """Events past a number, oldest first."""
        statement = select(_EVENTS.c.number, _EVENTS.c.data).where(_EVENTS.c.job_id == job_id, _EVENTS.c.number > after)
        return [(number, data) for number, data in self._session.execute(statement.order_by(_EVENTS.c.number))]

    def _release(self, which: ColumnElement[bool]) -> None:
        released = update(Job).where(which).values(lease_until=_LONG_AGO, worker=None)
        self._session.execute(released.execution_options(synchronize_session=False))

    def forget_old(self) -> list[str]:
        """Delete all finished jobs of each type but those that ended last.

        Returns:
            Their keys.
        """
        forgotten: list[str] = []
        for kind in JobType:
            over = Job.state.not_in(UNFINISHED)
            old = (
                select(Job)
                .where(Job.type == kind, over)
                .order_by(Job.finished_at.desc(), Job.id.desc())
                .offset(MOST_KEPT)
                .limit(_MOST_FORGOTTEN)
            )
            for job in self._session.scalars(old).all():
                forgotten.append(job.key)
                self._session.execute(delete(_EVENTS).where(_EVENTS.c.job_id == job.id))
                self._session.delete(job)
        return forgotten

    def list_bereft(self) -> list[str]:
        """Keys of the jobs that are over and whose collection was deleted."""
        gone = Job.collection_id.not_in(select(Collection.id))
        return list(self._session.scalars(select(Job.key).where(Job.state.not_in(UNFINISHED), gone)))

    def of_collection(self, collection_id: int) -> list[tuple[str, str]]:
        """Key and state of every job of a collection."""
        statement = select(Job.key, Job.state).where(Job.collection_id == collection_id)
        return [(key, state) for key, state in self._session.execute(statement)]

    def list_states(self) -> dict[str, tuple[JobType, JobState]]:
        """Type and state of every job, by what clients know it by."""
        found = self._session.execute(select(Job.key, Job.type, Job.state))
        return {key: (JobType(kind), JobState(state)) for key, kind, state in found}

    def count_by_state(self) -> dict[tuple[str, str], int]:
        """How many jobs there are, by type and state."""
        statement = select(Job.type, Job.state, func.count()).group_by(Job.type, Job.state)
        return {(kind, state): n for kind, state, n in self._session.execute(statement)}


def claimable(
    unfinished: list[Job], types: AnyOf[JobType], now: datetime, served: Callable[[int], bool] = lambda _: True
) -> list[int]:
    """Ids of the jobs that a worker may take now; some wait for others of their collection, see SERIAL."""
    found: list[int] = []
    # on PostgreSQL an older job may come into sight later than a younger one that runs already
    busy = {_turn(job) for job in unfinished if job.state != JobState.QUEUED and not _has_left(job)}
    for job in unfinished:
        if job.stage in HANDED_OVER:
            continue
        turn = _turn(job)
        waits = turn is not None and turn in busy and job.state == JobState.QUEUED
        busy.add(turn)
        is_free = job.state == JobState.QUEUED or (job.lease_until is not None and job.lease_until <= now)
        if is_free and not waits and job.type in types and served(job.collection_id):
            found.append(job.id)
    return found


def _turn(job: Job) -> tuple[int, tuple[JobType, ...]] | None:
    """What only one job has at a time; None for those that wait for nobody."""
    return next(((job.collection_id, types) for types in SERIAL if job.type in types), None)


def _has_left(job: Job) -> bool:
    """Whether its worker has nothing more to do; a release still takes its turn until it answers."""
    return job.stage == INDEXING


def event_of(job: Job) -> dict[str, Any]:
    """What an event tells of a job."""
    return {"state": job.state, "progress": progress_of(job), "result": job.result, "error": job.error}


def progress_of(job: Job) -> dict[str, Any]:
    """How far a job is, as clients see it."""
    left = None if job.total is None else max(0, job.total - job.done)
    eta_s = round(left / job.per_second, 1) if left is not None and job.per_second else None
    return {
        "stage": job.stage,
        "done": job.done,
        "total": job.total,
        "unit": job.unit,
        "per_second": None if job.per_second is None else round(job.per_second, 1),
        "eta_s": eta_s,
        "note": job.note or {},
    }


def _show(job: Job, progress: Progress) -> None:
    job.stage, job.done, job.total, job.unit = progress.stage, progress.done, progress.total, progress.unit
    job.per_second, job.note = progress.per_second, dict(progress.note) or None
