"""Waiting for jobs, over broken connections and servers that start anew; both clients."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.server import listen
from samesay import events
from samesay.errors import (
    ConnectionFailedError,
    JobCancelledError,
    JobFailedError,
    JobTimeoutError,
    UnexpectedAnswerError,
)
from tests.conftest import add_encoder, make_collection
from tests.fakes.both_clients import KINDS, driving
from tests.fakes.running import Running, make_settings, running, wait_for
from tests.fakes.scripted import HANG_UP, Reply, answer, refusal, scripted
from tests.fakes.workers import working

PROGRESS = {
    "stage": "storing", "done": 0, "total": 9, "unit": "rows", "per_second": None, "eta_s": None, "note": {}
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": "j1",
    "type": "import",
    "state": "running",
    "collection": "faq",
    "progress": PROGRESS,
    "result": None,
    "error": None,
    "attempts": 1,
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": None,
    "finished_at": None,
}
STREAM = {"Content-Type": "text/event-stream"}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(tmp_path: Path, tiny_bundle: Path) -> Iterator[Running]:
    """A service without workers."""
    settings = make_settings(tmp_path / "data", workers=0)
    add_encoder(settings, tiny_bundle)
    with running(settings) as started:
        yield started


def event(number: int, done: int, state: str = "running") -> bytes:
    data = {"state": state, "progress": {**PROGRESS, "done": done, "stage": "Größe"}, "result": None, "error": None}
    return f"id: {number}\nevent: progress\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def job(**fields: Any) -> Reply:
    return answer({**JOB, **fields})


def test_waiting_goes_on_after_the_last_event_that_was_heard(kind: str) -> None:
    begun = b"retry: 1000\n\n" + event(1, 3)
    cut_off = event(2, 5)
    with scripted(
        job(),
        Reply(200, begun + cut_off, STREAM, cut=len(begun) + 80),  # breaks in the middle of event 2
        HANG_UP,
        refusal(503, "not_ready"),
        Reply(200, b": still there\n\n" + cut_off, STREAM),  # ends, as a server does that stops
        Reply(200, event(3, 9, "succeeded"), STREAM),
        job(state="succeeded", result={"stored": 9}),
    ) as server, driving(kind, server.url) as driver:  # fmt: skip
        heard: list[int] = []
        found = driver.do(driver.client.jobs.get("j1"))
        waited = driver.do(found.wait(timeout=20, on_progress=lambda progress: heard.append(progress.done)))
        assert waited is found
        assert (waited.state, waited.result, waited.is_over) == ("succeeded", {"stored": 9}, True)
        assert heard == [3, 5, 9]
        asked = [seen.headers["last-event-id"] for seen in server.seen if seen.path.endswith("/events")]
        assert asked == ["0", "1", "1", "1", "2"]


def test_events_are_whole_however_they_are_cut() -> None:
    stream = b": hello\r\n" + event(7, 1).replace(b"\n", b"\r\n") + event(8, 2) + event(9, 3)[:-1]
    for size in (1, 2, 3, 7, len(stream)):
        parser = events.EventParser()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        found = [one for piece in pieces for one in parser.feed(piece)]
        assert [(one.number, one.progress.done, one.progress.stage) for one in found] == [
            (7, 1, "Größe"),
            (8, 2, "Größe"),
        ]


@pytest.mark.parametrize("data", [b"nonsense", b"[]", b'{"state": "lost"}'])
def test_an_event_of_something_else_is_recognised(kind: str, data: bytes) -> None:
    stream = Reply(200, b"id: 1\ndata: " + data + b"\n\n", STREAM)
    with scripted(job(), stream) as server, driving(kind, server.url) as driver:
        found = driver.do(driver.client.jobs.get("j1"))
        with pytest.raises(UnexpectedAnswerError, match="event 1 is none of a job's"):
            driver.do(found.wait())


def test_a_job_that_does_not_succeed_raises(kind: str) -> None:
    failed = {"state": "failed", "error": {"code": "gate_refused", "detail": "worse by 0.1"}}
    script = [
        job(),
        Reply(200, event(1, 1, "failed"), STREAM),
        job(**failed),
        job(),
        Reply(204),
        job(state="cancelled"),
        job(**failed),
    ]
    with scripted(*script) as server, driving(kind, server.url) as driver:
        with pytest.raises(JobFailedError, match=r"job j1 failed: worse by 0.1 \(gate_refused\)") as failure:
            driver.do(driver.do(driver.client.jobs.get("j1")).wait())
        assert (failure.value.code, failure.value.job_id) == ("gate_refused", "j1")
        with pytest.raises(JobCancelledError):
            driver.do(driver.do(driver.client.jobs.get("j1")).wait())
        with pytest.raises(JobFailedError):  # over already: nothing is asked
            driver.do(driver.do(driver.client.jobs.get("j1")).wait())
        assert not server.script


def test_a_server_that_stays_away_is_given_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PATIENCE_S", 0.2)
    with scripted(job(), *[HANG_UP] * 100) as server, driving(kind, server.url) as driver:
        found = driver.do(driver.client.jobs.get("j1"))
        with pytest.raises(ConnectionFailedError):
            driver.do(found.wait())


def test_waiting_has_an_end(kind: str, service: Running) -> None:
    place = service.client.post(f"/v1/collections/{make_collection(service)}/exports", json={})
    with driving(kind, service.url) as driver:
        found = driver.do(driver.client.jobs.get(place.json()["id"]))
        began = time.monotonic()
        with pytest.raises(JobTimeoutError, match=r"has not ended within 0.4 s"):
            driver.do(found.wait(timeout=0.4))
        assert 0.4 <= time.monotonic() - began < 3
        assert driver.do(found.cancel()).state == "cancelled"
        with pytest.raises(JobCancelledError):
            driver.do(found.wait())


def test_signs_of_life_do_not_put_the_end_off(kind: str, service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """One just before the end used to give the next read as long again."""
    monkeypatch.setattr("app.job.service._KEEP_ALIVE_S", 0.9)
    place = service.client.post(f"/v1/collections/{make_collection(service)}/exports", json={})
    with driving(kind, service.url) as driver:
        found = driver.do(driver.client.jobs.get(place.json()["id"]))
        began = time.monotonic()
        with pytest.raises(JobTimeoutError):
            driver.do(found.wait(timeout=1.0))
        assert 1.0 <= time.monotonic() - began < 1.6


def test_waiting_sits_a_proxy_out_that_reaches_no_server(kind: str) -> None:
    away = [Reply(status, b"<html>", {"Content-Type": "text/html"}) for status in (502, 503, 504)]
    over = Reply(200, event(1, 9, "succeeded"), STREAM)
    with scripted(job(), *away, over, job(state="succeeded")) as server, driving(kind, server.url) as driver:
        assert driver.do(driver.do(driver.client.jobs.get("j1")).wait()).state == "succeeded"


def test_waiting_survives_a_restart_of_the_server(kind: str, tmp_path: Path, tiny_bundle: Path) -> None:
    with closing(listen("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = make_settings(tmp_path / "data", port=port, workers=0)
    add_encoder(settings, tiny_bundle)
    stages: list[str] = []
    outcome: list[Any] = []

    def wait(url: str, key: str) -> None:
        with driving(kind, url) as driver:
            found = driver.do(driver.client.jobs.get(key))
            outcome.append(driver.do(found.wait(timeout=60, on_progress=lambda told: stages.append(told.stage))))

    with running(settings) as service:
        name = make_collection(service)
        key = service.client.post(f"/v1/collections/{name}/exports", json={}).json()["id"]
        waiter = threading.Thread(target=wait, args=(service.url, key))
        waiter.start()
        wait_for(lambda: stages)
        before = len(stages)
    time.sleep(0.3)  # the waiter finds nobody
    with running(settings) as service, working(service):
        waiter.join(30)
    assert not waiter.is_alive()
    assert outcome[0].state == "succeeded"
    assert len(stages) > before


def test_a_download_is_whole_or_not_there(kind: str, tmp_path: Path) -> None:
    whole = Reply(200, b"line\n" * 20_000)
    with scripted(job(), Reply(200, b"x" * 100, cut=50), whole) as server, driving(kind, server.url) as driver:
        found = driver.do(driver.client.jobs.get("j1"))
        with pytest.raises(ConnectionFailedError):
            driver.do(found.download(tmp_path / "out.ndjson"))
        assert list(tmp_path.iterdir()) == []
        assert driver.do(found.download(tmp_path / "out.ndjson")) == tmp_path / "out.ndjson"
        assert (tmp_path / "out.ndjson").read_bytes() == whole.body


def test_two_downloads_to_one_name_leave_one_of_them_whole(tmp_path: Path) -> None:
    files = [Reply(200, letter * 3_000_000) for letter in (b"a", b"b")]
    target = tmp_path / "out.ndjson"
    (tmp_path / "out.ndjson.part").write_text("mine")
    with scripted(job(), job(), *files) as server, driving("blocking", server.url) as driver:
        jobs = [driver.do(driver.client.jobs.get("j1")) for _ in files]
        with ThreadPoolExecutor(2) as pool:
            assert [done.result() for done in [pool.submit(each.download, target) for each in jobs]] == [target] * 2
    assert len(set(target.read_bytes())) == 1
    assert target.stat().st_size == 3_000_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.ndjson", "out.ndjson.part"]
    assert (tmp_path / "out.ndjson.part").read_text() == "mine"


def test_results_come_row_by_row(kind: str) -> None:
    rows = [{"line": n, "status": 201, "code": "created", "id": f"r{n}"} for n in range(5000)]
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    script = (job(), Reply(200, body), Reply(200, body), Reply(200, body, cut=100), Reply(200, b"nonsense\n"))
    with scripted(*script) as server, driving(kind, server.url) as driver:
        found = driver.do(driver.client.jobs.get("j1"))
        assert [row.model_dump(exclude_none=True) for row in driver.items(found.results())] == rows
        assert [row.line for row in driver.items(found.results(), most=3)] == [0, 1, 2]
        with pytest.raises(ConnectionFailedError):
            driver.items(found.results())
        with pytest.raises(UnexpectedAnswerError):
            driver.items(found.results())
