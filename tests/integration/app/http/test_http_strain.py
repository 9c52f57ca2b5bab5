"""What is no HTTP, callers that hang up, and more work than the server takes: refused, and nobody else harmed."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from app.http.protocol import MOST_HEAD_BYTES
from tests.conftest import add_encoder, make_collection
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running, wait_for


@pytest.mark.parametrize(
    "raw",
    [
        b"this is no HTTP\r\n\r\n",
        b"POST /v1/collections HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n",
        b"POST /v1/collections HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_a_problem_too(shared_service: Running, raw: bytes) -> None:
    head, body = send_raw(shared_service.url, raw).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["code"] == "malformed_request"


def send_raw(url: str, raw: bytes) -> bytes:
    """What comes back until the server hangs up."""
    with connected(url) as connection:
        connection.sendall(raw)
        return b"".join(iter(lambda: connection.recv(4096), b""))


_CHUNKED = b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (b"GET /", b"a"),
        (b"GET /livez HTTP/1.1\r\nX: ", b"a"),
        (b"GET /livez HTTP/1.1\r\n", b"X: a\r\n"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HTTP/1.1\r\nX: ", b"a"),
        (_CHUNKED + b"0\r\nX: ", b"a"),
        (_CHUNKED + b"1;", b"a"),
    ],
)
def test_a_head_without_end_is_refused(shared_service: Running, begun: bytes, piece: bytes) -> None:
    """Also the second one of a connection, and what comes with and after the chunks of a body."""
    with connected(shared_service.url) as connection:
        connection.sendall(begun)
        time.sleep(0.1)
        connection.sendall(piece * (MOST_HEAD_BYTES // len(piece) + 1))
        answered = b"".join(iter(lambda: connection.recv(4096), b""))  # until the server hangs up
    assert b"HTTP/1.1 431 " in answered
    assert json.loads(answered[answered.rindex(b"\r\n\r\n") :])["code"] == "head_too_large"


def test_a_long_head_and_a_long_body_in_many_pieces_are_taken(shared_service: Running) -> None:
    def send() -> Iterator[bytes]:
        yield from (b'{"source": "a', *[b"a" * 1024] * 90, b'", "targets": ["b"], "encoder": "tiny"}')

    headers = {"X-Long": "a" * (MOST_HEAD_BYTES - 1024)}
    answer = shared_service.client.post("/v1/similarity", content=send(), headers=headers)
    assert (answer.status_code, len(answer.json()["scores"])) == (200, 1), answer.text


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_a_caller_that_hangs_up_is_no_defect(
    shared_service: Running, collection: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/v1/collections/{collection}".encode()
    with capture_logs() as logs:
        with connected(shared_service.url) as connection:  # in the middle of its body
            connection.sendall(
                b"PUT " + path + b"/records/r HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
            )
            time.sleep(0.1)
        with blocked(shared_service), connected(shared_service.url) as connection:  # while it waits for its answer
            body = b'{"query": "a"}'
            head = b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(b"POST " + path + b":search" + head + body)
            time.sleep(0.3)
            connection.close()
            wait_for(lambda: [event["event"] for event in logs].count("caller_gone") == 2)
    assert "request_failed" not in [event["event"] for event in logs]
    assert "Exception in ASGI application" not in caplog.text
    wait_for(lambda: shared_service.container.batcher.queued == 0)


@contextmanager
def blocked(service: Running) -> Iterator[threading.Event]:
    """Keep the encoder busy until the block ends."""
    gate, entered, batcher = threading.Event(), threading.Event(), service.container.batcher
    run = batcher._run_jobs

    def slow(jobs: Any) -> Any:
        entered.set()
        assert gate.wait(20)
        return run(jobs)

    batcher._run_jobs = slow
    try:
        yield entered
    finally:
        gate.set()
        batcher._run_jobs = run


@pytest.mark.parametrize(
    ("slow", "seconds", "route", "body"),
    [
        ("app.search.service.neighbours", 0.06, ":search", {"queries": ["money"] * 20, "k": 1000}),
        ("app.search.deciding.decide", 0.005, ":classify", {"texts": ["money"] * 256}),
    ],
)
def test_others_are_answered_while_a_large_answer_is_made(
    shared_service: Running,
    collection: str,
    slow: str,
    seconds: float,
    route: str,
    body: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Naming 20,000 neighbours, or deciding 256 times among thousands of groups, takes a large part of a second."""
    module, name = slow.rsplit(".", 1)
    fast, begun = getattr(import_module(module), name), threading.Event()

    def take_time(*given: Any) -> Any:
        begun.set()
        time.sleep(seconds)
        return fast(*given)

    monkeypatch.setattr(slow, take_time)
    with ThreadPoolExecutor(1) as threads:
        url = f"{shared_service.url}/v1/collections/{collection}{route}"
        answer = threads.submit(httpx.post, url, json=body, timeout=30)
        n_others = 0
        assert begun.wait(10)
        while not answer.done():
            n_others += shared_service.client.get("/livez").status_code == 200
    assert len(answer.result().json()["results"]) == len(next(iter(body.values())))
    assert n_others > 10


def queue_of(service: Running, name: str) -> tuple[float | None, float | None]:
    """What the metrics say of a queue: its length, and how long it may be."""
    value = service.container.metrics.registry.get_sample_value
    return value("samesay_queue_length", {"queue": name}), value("samesay_queue_limit", {"queue": name})


def test_more_than_can_be_encoded_is_refused_at_once(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data", max_queued_sentences=3)
    add_encoder(settings, tiny_bundle)
    with running(settings) as service, ThreadPoolExecutor(3) as pool:
        client, place = service.client, f"/v1/collections/{make_collection(service)}"

        def search(n: int) -> httpx.Response:
            return client.post(f"{place}:search", json={"queries": ["a"] * n})

        with blocked(service) as entered:
            accepted = [pool.submit(search, 1)]
            assert entered.wait(10)
            accepted.append(pool.submit(search, 2))
            wait_for(lambda: service.container.batcher.queued == 3)
            for refused in (search(1), client.post(f"{place}:classify", json={"text": "a"})):
                assert "3 sentences wait" in assert_problem(refused, 503, "overloaded")["detail"]
                assert int(refused.headers["retry-after"]) >= 1
            assert queue_of(service, "encoder") == (3, 3)
            assert client.get("/livez").status_code == 200
        assert [answer.result(10).status_code for answer in accepted] == [200, 200]
        assert search(3).status_code == 200


def test_more_than_can_be_written_is_refused_at_once(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data", max_queued_writes=1)
    add_encoder(settings, tiny_bundle)
    with running(settings) as service, ThreadPoolExecutor(1) as pool:
        client, place = service.client, f"/v1/collections/{make_collection(service)}"
        gate, entered = threading.Event(), threading.Event()
        busy = service.container.database.write(lambda _: (entered.set(), gate.wait(20)))
        assert entered.wait(10)
        accepted = pool.submit(client.put, f"{place}/records/r1", json={"text": "a"})
        wait_for(lambda: service.container.database._queue.full())  # type: ignore[attr-defined]
        refused = client.put(f"{place}/records/r2", json={"text": "b"})
        assert "nothing was stored" in assert_problem(refused, 503, "overloaded")["detail"]
        assert int(refused.headers["retry-after"]) >= 1
        assert queue_of(service, "writes") == (1, 1)
        assert client.post(f"{place}:search", json={"query": "a"}).status_code == 200
        gate.set()
        busy.result(10)
        assert accepted.result(10).status_code == 201
        assert [item["id"] for item in client.get(f"{place}/records").json()["items"]] == ["r1"]
        assert client.put(f"{place}/records/r2", json={"text": "b"}).status_code == 201


@contextmanager
def held_room(service: Running, path: str, body: str) -> Iterator[None]:
    """A caller that sends most of its body, and then nothing.

    Nothing tells when the server has read it, and what is sent to find that out can be in its way: then it comes again.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    for attempt in range(1, 50):
        with connected(service.url) as slow:
            slow.sendall(head.encode() + body[:-1].encode())
            time.sleep(0.02 * attempt)
            if service.client.post(path, content=body).status_code == 503:
                yield
                return
    raise TimeoutError("the room was never taken")


def test_many_large_bodies_are_not_taken_at_the_same_time(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data", max_body_bytes=100_000, max_bodies_bytes=100_000)
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        path = f"/v1/collections/{make_collection(service)}/records:batch"
        body = json.dumps({"upsert": [{"id": "r", "text": "x" * 60_000}]})
        with held_room(service, path, body):
            assert_problem(service.client.post(path, content=body), 503, "overloaded")
        wait_for(lambda: service.client.post(path, content=body).status_code == 200)


def test_a_body_that_is_too_large_is_refused_however_it_comes(shared_service: Running, collection: str) -> None:
    client, path = shared_service.client, f"/v1/collections/{collection}/records:batch"
    body = json.dumps({"delete": ["x" * 17_000_000]}).encode()
    assert_problem(client.post(path, content=body), 413, "body_too_large")
    assert_problem(client.post(path, content=iter([body[:9_000_000], body[9_000_000:]])), 413, "body_too_large")
