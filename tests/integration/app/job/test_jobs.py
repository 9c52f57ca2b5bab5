"""Jobs on both databases: each is run once, by one worker at a time, from where the one before left off."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.db.database import Database
from app.errors import ConflictError, StorageError
from app.job.errors import JobCancelledError, JobFailedError, JobLostError
from app.job.repository import INDEXING, MOST_STALLS, JobRepository, Progress
from app.job.run import Handover, JobRun
from app.job.tables import JobState, JobType
from app.job.worker import Duty, Worker
from tests.fakes.job_rows import add_job, count_quickly, count_up, get_job, let_lease_run_out, make_worker, names


def test_a_job_runs_to_its_end_and_tells_of_it(database: Database, tmp_path: Path) -> None:
    ended: list[tuple[str, JobState]] = []
    add_job(database, "a")
    worker = make_worker(database, tmp_path, lambda run: count_up(run, 5), ended=ended)
    assert worker.run_next()
    assert not worker.run_next()
    job = get_job(database, "a")
    assert (job.state, job.result, job.error, job.attempts) == (JobState.SUCCEEDED, {"made": 5}, None, 1)
    assert (job.stage, job.done, job.total, job.unit) == ("making", 5, 5, "collections")
    assert job.worker is None
    assert job.lease_until is None
    assert names(database) == [f"n{n}" for n in range(5)]
    assert ended == [("a", JobState.SUCCEEDED)]
    events = database.read(lambda session: JobRepository(session).events(job.id, 0))
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert [data["state"] for _, data in (events[0], events[1], events[-1])] == ["queued", "running", "succeeded"]
    assert events[-1][1]["result"] == {"made": 5}
    later = database.read(lambda session: JobRepository(session).events(job.id, 2))
    assert later == events[2:]


def test_a_job_that_has_succeeded_says_that_all_is_done(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    assert make_worker(database, tmp_path, lambda run: count_quickly(run, 7)).run_next()
    job = get_job(database, "a")
    assert (job.state, job.stage, job.done, job.total) == (JobState.SUCCEEDED, "writing", 7, 7)
    last = database.read(lambda session: JobRepository(session).events(job.id, 0))[-1][1]["progress"]
    assert (last["done"], last["total"], last["eta_s"]) == (7, 7, None)


def test_a_job_that_has_not_succeeded_says_how_far_it_came(database: Database, tmp_path: Path) -> None:
    def fail(run: JobRun) -> dict[str, Any]:
        run.report(Progress("writing", 3, 7))
        raise JobFailedError("unreadable", "it ends in the middle")

    add_job(database, "a")
    assert make_worker(database, tmp_path, fail).run_next()
    job = get_job(database, "a")
    assert (job.state, job.done, job.total) == (JobState.FAILED, 3, 7)


def test_a_killed_worker_s_job_goes_on_from_its_last_step(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    with pytest.raises(SystemExit):
        make_worker(database, tmp_path, lambda run: count_up(run, 5, die_at=3)).run_next()
    second = make_worker(database, tmp_path, lambda run: count_up(run, 5), name="w2")
    assert not second.run_next(), "its lease has not run out"
    let_lease_run_out(database)
    assert second.run_next()
    job = get_job(database, "a")
    assert (job.state, job.attempts, job.result) == (JobState.SUCCEEDED, 2, {"made": 5})
    assert names(database) == [f"n{n}" for n in range(5)]


def test_a_worker_that_was_taken_for_dead_changes_nothing_more(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    taken_over = threading.Event()
    raised: list[Exception] = []

    def slow(run: JobRun) -> dict[str, Any]:
        count_up(run, 2)
        let_lease_run_out(database)
        other = make_worker(database, tmp_path, lambda run: count_up(run, 4), name="w2")
        assert other.run_next()
        taken_over.set()
        for attempt in (lambda: count_up(run, 9), lambda: run.report(Progress("late", 1)), run.check):
            try:
                attempt()
            except JobLostError as error:
                raised.append(error)
        return {"made": -1}

    assert make_worker(database, tmp_path, slow).run_next()
    assert taken_over.is_set()
    assert len(raised) == 3
    assert names(database) == [f"n{n}" for n in range(4)]
    assert get_job(database, "a").result == {"made": 4}


def test_what_kills_its_workers_again_and_again_is_given_up(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    for _ in range(MOST_STALLS):
        with pytest.raises(SystemExit):
            make_worker(database, tmp_path, lambda run: count_up(run, 5, die_at=0)).run_next()
        let_lease_run_out(database)
    assert make_worker(database, tmp_path, lambda run: count_up(run, 5)).run_next()
    job = get_job(database, "a")
    assert (job.state, job.error["code"] if job.error else None) == (JobState.FAILED, "worker_died")
    assert names(database) == []


def test_a_job_that_comes_further_each_time_is_never_given_up(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    for n in range(MOST_STALLS + 5):
        with pytest.raises(SystemExit):
            make_worker(database, tmp_path, lambda run, n=n: count_up(run, 100, die_at=n + 1)).run_next()
        let_lease_run_out(database)
    assert make_worker(database, tmp_path, lambda run: count_up(run, MOST_STALLS + 6)).run_next()
    assert get_job(database, "a").state == JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobFailedError("bad_file", "the file is bad"), "bad_file"),
        (ConflictError("no"), "conflict"),
        (ZeroDivisionError(), "internal_error"),
    ],
)
def test_a_failure_is_told_with_what_was_done(database: Database, tmp_path: Path, error: Exception, code: str) -> None:
    add_job(database, "a")
    ended: list[tuple[str, JobState]] = []

    def fails(run: JobRun) -> dict[str, Any]:
        count_up(run, 2)
        raise error

    assert make_worker(database, tmp_path, fails, ended=ended).run_next()
    job = get_job(database, "a")
    assert job.error is not None
    assert (job.state, job.error["code"], job.result) == (JobState.FAILED, code, {"made": 2})
    assert "ZeroDivision" not in job.error["detail"]
    assert ended == [("a", JobState.FAILED)]


def test_a_database_that_is_away_for_a_moment_fails_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.job.worker._RETRY_S", 0.01)
    add_job(database, "a")
    away = iter([True, True, False])

    def flaky(run: JobRun) -> dict[str, Any]:
        if next(away):
            raise StorageError("away")
        return count_up(run, 3)

    assert make_worker(database, tmp_path, flaky).run_next()
    assert get_job(database, "a").state == JobState.SUCCEEDED


def test_a_step_that_was_stored_unheard_is_not_done_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away between storing it and saying so, and is still away when it is asked what it stored."""
    monkeypatch.setattr("app.job.worker._RETRY_S", 0.01)
    add_job(database, "a")
    read, away, starts = database.read, iter([True, True]), []

    def read_once_it_is_back(unit: Any) -> Any:
        if next(away, False):
            raise StorageError("away")
        return read(unit)

    def unheard(run: JobRun) -> dict[str, Any]:
        starts.append(run.checkpoint.get("n", 0))
        count_up(run, len(starts))
        if len(starts) == 1:
            run.checkpoint = {}
            monkeypatch.setattr(database, "read", read_once_it_is_back)
            raise StorageError("it may be stored or not")
        return count_up(run, 3)

    assert make_worker(database, tmp_path, unheard).run_next()
    assert get_job(database, "a").state == JobState.SUCCEEDED
    assert starts == [0, 1]
    assert names(database) == ["n0", "n1", "n2"]


def test_a_cancelled_job_stops_at_its_next_step(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    ended: list[tuple[str, JobState]] = []

    def cancelled(run: JobRun) -> dict[str, Any]:
        count_up(run, 2)
        database.write(lambda session: setattr(JobRepository(session).get("a"), "state", "cancelling")).result()
        with pytest.raises(JobCancelledError):
            run.check()
        return count_up(run, 5)

    assert make_worker(database, tmp_path, cancelled, ended=ended).run_next()
    job = get_job(database, "a")
    assert (job.state, job.result) == (JobState.CANCELLED, {"made": 2})
    assert names(database) == ["n0", "n1"]
    assert ended == [("a", JobState.CANCELLED)]


def test_a_cancelled_job_whose_worker_died_is_cleaned_up_by_another(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    with pytest.raises(SystemExit):
        make_worker(database, tmp_path, lambda run: count_up(run, 5, die_at=3)).run_next()
    database.write(lambda session: setattr(JobRepository(session).get("a"), "state", "cancelling")).result()
    let_lease_run_out(database)
    ended: list[tuple[str, JobState]] = []
    assert make_worker(database, tmp_path, lambda run: count_up(run, 5), "w2", ended=ended).run_next()
    assert (get_job(database, "a").state, get_job(database, "a").result) == (JobState.CANCELLED, {"made": 3})
    assert ended == [("a", JobState.CANCELLED)]


def test_a_job_that_does_not_stop_when_cancelled_is_left_to_another_worker(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.job.worker._BEAT_S", 0.05)
    add_job(database, "a")
    gave_up = threading.Event()

    def stuck(run: JobRun) -> dict[str, Any]:
        database.write(lambda session: setattr(JobRepository(session).get("a"), "state", "cancelling")).result()
        assert gave_up.wait(20)
        return count_up(run, 5)

    assert make_worker(database, tmp_path, stuck, give_up=gave_up.set).run_next()
    assert names(database) == []
    assert get_job(database, "a").state == JobState.CANCELLING
    assert make_worker(database, tmp_path, lambda run: count_up(run, 5), "w2").run_next()
    assert get_job(database, "a").state == JobState.CANCELLED


def test_a_heart_keeps_the_job(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.job.worker._BEAT_S", 0.02)
    add_job(database, "a")
    renewed = threading.Event()

    def long(run: JobRun) -> dict[str, Any]:
        let_lease_run_out(database)
        for _ in range(1000):
            lease = get_job(database, "a").lease_until
            assert lease is not None
            if lease > datetime.now(UTC):
                renewed.set()
                break
            threading.Event().wait(0.01)
        return {}

    assert make_worker(database, tmp_path, long).run_next()
    assert renewed.is_set()


def test_each_job_is_claimed_once(database: Database, tmp_path: Path) -> None:
    for n in range(40):
        add_job(database, f"job{n}")
    ran: list[str] = []

    def work(number: int) -> None:
        worker = make_worker(database, tmp_path, lambda run: ran.append(run.key) or {}, name=f"w{number}")
        while worker.run_next():
            pass

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sorted(ran) == sorted(f"job{n}" for n in range(40))


def test_imports_of_one_collection_run_one_after_another(database: Database, tmp_path: Path) -> None:
    for key, collection_id in (("a1", 1), ("a2", 1), ("b1", 2)):
        add_job(database, key, JobType.IMPORT, collection_id)
    ran: list[str] = []

    def first(run: JobRun) -> dict[str, Any]:
        ran.append(run.key)
        other = make_worker(database, tmp_path, lambda run: ran.append(run.key) or {}, name=f"beside {run.key}")
        while other.run_next():
            pass
        return {}

    worker = make_worker(database, tmp_path, first)
    while worker.run_next():
        pass
    assert ran == ["a1", "b1", "a2"]


def test_what_is_stored_is_handed_over_to_the_servers(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    worker = make_worker(database, tmp_path, lambda run: Handover(7, {"rows": 3}))
    assert worker.run_next()
    assert not worker.run_next()
    job = get_job(database, "a")
    assert (job.state, job.stage, job.seq, job.result) == (JobState.RUNNING, INDEXING, 7, {"rows": 3})


def test_a_job_cancelled_at_the_last_moment_is_ended_by_the_servers_all_the_same(
    database: Database, tmp_path: Path
) -> None:
    add_job(database, "a")

    def stored(run: JobRun) -> Handover:
        database.write(lambda session: setattr(JobRepository(session).get("a"), "state", "cancelling")).result()
        return Handover(7, {"rows": 3})

    assert make_worker(database, tmp_path, stored).run_next()
    assert (get_job(database, "a").state, get_job(database, "a").stage) == (JobState.RUNNING, INDEXING)


def test_workers_that_are_told_to_end_do_not_count_as_dead(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    for _ in range(MOST_STALLS + 3):
        with pytest.raises(SystemExit):
            make_worker(database, tmp_path, lambda run: count_up(run, 5, die_at=0)).run_next()
        database.write(lambda session: JobRepository(session).release("w1")).result()
    assert make_worker(database, tmp_path, lambda run: count_up(run, 5)).run_next()
    assert get_job(database, "a").state == JobState.SUCCEEDED


def test_a_worker_told_to_end_after_a_step_leaves_no_credit(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")
    with pytest.raises(SystemExit):
        make_worker(database, tmp_path, lambda run: count_up(run, 5, die_at=3)).run_next()
    database.write(lambda session: JobRepository(session).release("w1")).result()
    assert get_job(database, "a").stalls == 0


def test_a_disk_that_is_full_is_told_as_such(database: Database, tmp_path: Path) -> None:
    add_job(database, "a")

    def full(run: JobRun) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    assert make_worker(database, tmp_path, full).run_next()
    error = get_job(database, "a").error
    assert error is not None
    assert (error["code"], "free space" in error["detail"]) == ("storage_full", True)


def test_a_worker_takes_only_what_it_serves(database: Database, tmp_path: Path) -> None:
    for key, collection_id in (("a", 1), ("b", 2)):
        add_job(database, key, JobType.EXPORT, collection_id)
    ran: list[str] = []
    duty = Duty(lambda run: ran.append(run.key) or {}, lambda folder, state: None)
    worker = Worker(database, {JobType.EXPORT: duty}, "w", tmp_path, served=lambda collection_id: collection_id == 2)
    while worker.run_next():
        pass
    assert ran == ["b"]


def test_deleting_a_collection_ends_its_jobs_and_cleans_up_after_the_one_that_runs(
    database: Database, tmp_path: Path
) -> None:
    for key, collection_id in (("runs", 1), ("waits", 1), ("other", 2)):
        add_job(database, key, JobType.IMPORT, collection_id)
    ended: list[tuple[str, JobState]] = []

    def delete(session: Session) -> None:
        JobRepository(session).lock_of("c1")
        JobRepository(session).end_of_collection(1)

    def see_it_go(run: JobRun) -> dict[str, Any]:
        assert not run.is_cancelled()
        database.write(delete).result()
        with pytest.raises(JobLostError):
            run.check()
        count_up(run, 1)
        return {}

    assert make_worker(database, tmp_path, see_it_go, ended=ended).run_next()
    found = {key: get_job(database, key) for key in ("runs", "waits", "other")}
    assert {key: job.state for key, job in found.items()} == {"runs": "failed", "waits": "failed", "other": "queued"}
    assert {job.error["code"] for job in found.values() if job.error} == {"collection_gone"}
    assert (ended, names(database)) == ([("runs", JobState.FAILED)], [])
