"""Jobs made by hand on a database, and workers that run them as a test says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.db.database import Database
from app.job.repository import JobRepository, Progress, new_job
from app.job.run import JobRun, Step
from app.job.tables import Job, JobState, JobType
from app.job.worker import Duty, Worker


def add_job(database: Database, key: str, kind: JobType = JobType.EXPORT, collection_id: int = 1) -> None:
    job = new_job(key, kind, collection_id, f"c{collection_id}", {"wanted": key})
    database.write(lambda session: JobRepository(session).add(job)).result()


def get_job(database: Database, key: str) -> Job:
    def unit(session: Session) -> Job:
        found = JobRepository(session).get(key)
        session.expunge(found)
        return found

    return database.read(unit)


def make_worker(database: Database, folder: Path, run: Any, name: str = "w1", **options: Any) -> Worker:
    ended: list[tuple[str, JobState]] = options.pop("ended", [])
    duty = Duty(run, lambda place, state: ended.append((place.name, state)), lambda run: run.checkpoint.get("counts"))
    return Worker(database, {JobType.EXPORT: duty, JobType.IMPORT: duty}, name, folder, **options)


def let_lease_run_out(database: Database) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    database.write(lambda session: session.execute(update(Job).values(lease_until=before))).result()


def count_up(run: JobRun, to: int, die_at: int | None = None) -> dict[str, Any]:
    """Makes collections named n0, n1, ...: one a step, as real jobs store rows."""
    for n in range(run.checkpoint.get("n", 0), to):
        if n == die_at:
            raise SystemExit("killed")

        def step(session: Session, n: int = n) -> Step:
            session.add(Collection(name=f"n{n}", settings={}))
            session.flush()
            return Step({"n": n + 1, "counts": {"made": n + 1}}, Progress("making", n + 1, to, "collections"))

        run.commit(step)
    return {"made": to}


def count_quickly(run: JobRun, to: int) -> dict[str, Any]:
    """Reports as exports do, faster than listeners are told."""
    for n in range(to):
        run.report(Progress("writing", n + 1, to))
    return {}


def names(database: Database) -> list[str]:
    return database.read(lambda session: list(session.scalars(select(Collection.name).order_by(Collection.id))))
