"""What an import tells of itself before it begins, when it fails, and after another worker has taken it over."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy.orm import Session

from app.bulk import importing
from app.bulk.forms import Form
from app.bulk.reading.rows import RawRow
from app.db.database import Database
from app.errors import StorageFullError
from app.job.kinds import Kind
from app.job.repository import JobRepository
from app.job.worker import Worker
from app.worker_duties import duties_of
from tests.conftest import add_encoder, make_collection
from tests.fakes.imports import finished, ndjson, records_of, results_of, upload
from tests.fakes.running import Running, make_settings, running
from tests.fakes.uploads import sheet

T = TypeVar("T")


@pytest.fixture
def service(tmp_path: Path, tiny_bundle: Path) -> Iterator[Running]:
    """A service without workers."""
    settings = make_settings(tmp_path / "data", workers=0)
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        yield service


class Failing:
    """The database of a worker whose second step fails."""

    def __init__(self, database: Database, fail: Callable[[], None], *, when_done: bool) -> None:
        self._database, self._fail, self._when_done = database, fail, when_done
        self._steps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write(self, unit: Callable[[Session], T]) -> "Future[T]":
        is_step = "JobRun.commit" in unit.__qualname__
        self._steps += is_step
        if not is_step or self._steps < 2:
            return self._database.write(unit)
        if not self._when_done:
            self._fail()

        def failing(session: Session) -> T:
            unit(session)
            self._fail()
            raise AssertionError

        return self._database.write(failing)


def work(service: Running, database: Any = None) -> None:
    settings = service.container.settings
    Worker(database or service.container.database, duties_of(settings, Kind.FILES), "w", settings.jobs).run_next()


def test_an_import_that_waits_has_no_results_yet(service: Running) -> None:
    job = upload(service, make_collection(service), ndjson([{"text": "a"}])).json()
    assert (job["state"], results_of(service, job)) == ("queued", [])
    cancelled = service.client.delete(f"/v1/jobs/{job['id']}").json()
    assert (cancelled["state"], results_of(service, job)) == ("cancelled", [])


def test_a_disk_that_is_full_at_a_commit_is_told_with_what_was_stored_before(service: Running) -> None:
    name = make_collection(service)
    started = upload(service, name, ndjson([{"id": f"r{n}", "text": f"sentence {n}"} for n in range(2500)]))

    def fail() -> None:
        raise StorageFullError("the disk is full")

    work(service, Failing(service.container.database, fail, when_done=True))
    job = finished(service, started)
    n_stored = len(records_of(service, name))
    assert (job["state"], n_stored, job["result"]["rows"]) == ("failed", 1000, 1000)
    assert "the first 1000 rows were done: 1000 created," in job["error"]["detail"]


def test_a_disk_that_is_full_in_a_dry_run_is_told(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def connect_to_little(*given: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*given, **options)
        connection.execute("PRAGMA max_page_count = 4")
        return connection

    monkeypatch.setattr("app.bulk.comparing.sqlite3.connect", connect_to_little)
    started = upload(service, make_collection(service), ndjson([{"text": f"{n}"} for n in range(900)]), dry_run=True)
    work(service)
    job = finished(service, started)
    assert (job["state"], job["error"]["code"]) == ("failed", "storage_full")
    assert "No space left on device" in job["error"]["detail"]


def test_columns_that_were_left_out_before_a_takeover_are_told(service: Running) -> None:
    rows = [{"text": "first"}] + [{"text": f"sentence {n}", **({"odd": n} if n < 9 else {})} for n in range(2500)]
    started = upload(service, make_collection(service), ndjson(rows))

    def die() -> None:
        raise SystemExit("killed")

    with pytest.raises(SystemExit):
        work(service, Failing(service.container.database, die, when_done=False))
    service.container.database.write(lambda session: JobRepository(session).release_all()).result()
    work(service)
    job = finished(service, started)
    assert (job["state"], job["attempts"], job["result"]["rows"]) == ("succeeded", 2, 2501)
    assert job["result"]["ignored_columns"] == ["odd"]


def test_columns_that_were_left_out_are_told_of_an_import_that_failed(service: Running) -> None:
    lines = "".join(f"{n},,x\n" for n in range(50))
    started = upload(service, make_collection(service), f"id,text,page\n{lines}", "text/csv", max_rejected=9)
    work(service)
    job = finished(service, started)
    assert (job["state"], job["error"]["code"]) == ("failed", "too_many_rejected")
    assert (job["result"]["rejected"], job["result"]["ignored_columns"]) == (50, ["page"])


def test_rows_that_memory_does_not_hold_fail_the_import_alone(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*_: Any, **__: Any) -> Iterator[RawRow]:
        yield from (RawRow(n, {"text": f"sentence {n}"}) for n in range(1000))
        raise MemoryError

    monkeypatch.setattr(importing, "open_rows", unpack)
    started = upload(service, make_collection(service), ndjson([{"text": "a"}]))
    work(service)
    job = finished(service, started)
    assert (job["state"], job["error"]["code"], job["result"]["created"]) == ("failed", "unpacked_too_large", 1000)
    assert "the first 1000 rows were done" in job["error"]["detail"]


def test_an_import_does_not_seem_to_wait_while_a_spreadsheet_is_read(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def unpack(*_: Any, **__: Any) -> Iterator[RawRow]:
        found = service.client.get(started.headers["Location"]).json()
        seen.append((found["state"], found["progress"]["stage"]))
        yield RawRow(2, {"text": "a"})

    monkeypatch.setattr(importing, "open_rows", unpack)
    started = upload(service, make_collection(service), sheet([["text"], ["a"]]), Form.XLSX.content_type)
    work(service)
    assert finished(service, started)["result"]["created"] == 1
    assert seen == [("running", "counting")]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("body", "rows", "state"),
    [
        (b'[{"text": "in a list"}]\n', 1, "failed"),
        (b'{\n"text": "over three lines"\n}\n', 3, "failed"),
        (b'[]\n{"text": "one is right"}\n', 2, "succeeded"),
        (b'[]\n{"group": "g", "title": "of a group"}\n', 2, "succeeded"),
    ],
)
def test_an_import_of_which_nothing_could_be_taken_has_failed(
    service: Running, body: bytes, rows: int, state: str, dry_run: bool
) -> None:
    sent = upload(service, make_collection(service), body, dry_run=dry_run, max_rejected=1000)
    work(service)
    job = finished(service, sent)
    assert (job["state"], job["result"]["rows"]) == (state, rows)
    assert len(results_of(service, job)) == rows
    if state == "failed":
        assert job["error"]["code"] == "all_rejected"
        assert "nothing was stored" in job["error"]["detail"]
