"""What is kept of jobs and their events, and what is forgotten first."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.database import Database
from app.job.repository import MOST_EVENTS, JobRepository
from app.job.tables import JobEvent, JobState, JobType
from tests.fakes.job_rows import add_job, get_job


def test_old_events_are_forgotten(database: Database) -> None:
    add_job(database, "a")

    def tell_often(session: Session) -> None:
        job = JobRepository(session).get("a")
        for _ in range(MOST_EVENTS + 300):
            JobRepository(session).tell(job)

    database.write(tell_often).result()
    kept = database.read(lambda session: list(session.scalars(select(JobEvent.number).order_by(JobEvent.number))))
    assert len(kept) <= MOST_EVENTS + 100
    assert kept[-1] == MOST_EVENTS + 301


def test_jobs_are_forgotten_in_the_order_in_which_they_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ran long has just ended: whoever waits for it is to hear how."""
    monkeypatch.setattr("app.job.repository.MOST_KEPT", 2)
    for key in "abcd":
        add_job(database, key)
    for key in "bca":
        job_id = get_job(database, key).id
        database.write(lambda session, i=job_id: JobRepository(session).finish(i, JobState.SUCCEEDED)).result()
    assert database.write(lambda session: JobRepository(session).forget_old()).result() == ["b"]
    assert database.read(lambda session: JobRepository(session).list_states()) == {
        "a": (JobType.EXPORT, JobState.SUCCEEDED),
        "c": (JobType.EXPORT, JobState.SUCCEEDED),
        "d": (JobType.EXPORT, JobState.QUEUED),
    }
