"""What is sent again and when, against a server that fails as the script says; both clients."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samesay import AsyncClient, Client, Retries
from samesay.errors import (
    AnswerTimeoutError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    PreconditionFailedError,
    RateLimitedError,
    ServerError,
    StorageFullError,
    UnauthorisedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from tests.fakes.both_clients import KINDS, Driver, driving
from tests.fakes.scripted import HANG_UP, Reply, Scripted, answer, refusal, scripted

FOUND = answer({"scores": [0.5], "truncated": False})
WRITTEN = answer({"id": "r1", "seq": 1, "version": 1, "etag": "1-1-a", "truncated": False})
JOB = {
    "id": "j1",
    "type": "export",
    "state": "queued",
    "collection": "faq",
    "progress": {
        "stage": "queued", "done": 0, "total": None, "unit": "rows", "per_second": None, "eta_s": None, "note": {}
    },
    "result": None,
    "error": None,
    "attempts": 0,
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": None,
    "finished_at": None,
}  # fmt: skip
STARTED = answer(JOB, 202)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as started:
        yield started


@pytest.fixture
def driver(kind: str, server: Scripted) -> Iterator[Driver]:
    with driving(kind, server.url, api_key="the key") as driven:
        yield driven


def similarity(driver: Driver) -> Any:
    return driver.do(driver.client.similarity("a", ["b"], encoder="e"))


@pytest.mark.parametrize("failure", [HANG_UP, refusal(503, "overloaded"), refusal(429, "rate_limited")])
def test_what_changes_nothing_is_sent_again(driver: Driver, server: Scripted, failure: Reply) -> None:
    server.script += [failure, failure, FOUND]
    assert similarity(driver).scores == [0.5]
    assert len(server.seen) == 3
    assert {(seen.method, seen.path, seen.body) for seen in server.seen} == {
        ("POST", "/v1/similarity", b'{"encoder": "e", "source": "a", "targets": ["b"]}')
    }
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer the key"}


def test_it_is_given_up_after_the_last_attempt(driver: Driver, server: Scripted) -> None:
    server.script += [HANG_UP] * 4
    with pytest.raises(ConnectionFailedError, match=r"POST /v1/similarity( at [^ ]+)?: .* after 4 attempts"):
        similarity(driver)
    server.script += [refusal(503, "overloaded")] * 4
    with pytest.raises(UnavailableError) as refused:
        similarity(driver)
    assert (refused.value.status, refused.value.code, refused.value.request_id) == (503, "overloaded", "r1")
    assert len(server.seen) == 8


def test_what_a_refusal_asks_for_is_waited(driver: Driver, server: Scripted) -> None:
    server.script += [refusal(503, "overloaded", Retry_After="1"), FOUND]
    began = time.monotonic()
    similarity(driver)
    assert time.monotonic() - began >= 1
    server.script += [refusal(429, "rate_limited", Retry_After="61")]
    with pytest.raises(RateLimitedError) as refused:
        similarity(driver)
    assert refused.value.retry_after_s == 61


def test_what_creates_carries_one_key_in_all_attempts(driver: Driver, server: Scripted) -> None:
    still_running = refusal(409, "still_running", Retry_After="0")
    server.script += [HANG_UP, refusal(503, "storage_unavailable"), still_running, STARTED, STARTED]
    job = driver.do(driver.client.collection("faq").export(format="parquet"))
    assert (job.id, job.state, job.progress.stage) == ("j1", "queued", "queued")
    driver.do(driver.client.collection("faq").export())
    keys = [seen.headers["idempotency-key"] for seen in server.seen]
    assert len(set(keys[:4])) == 1, "an attempt is the same request"
    assert keys[4] != keys[0], "another request is another one"


@pytest.mark.parametrize("failure", [HANG_UP, refusal(503, "storage_unavailable"), refusal(503, "not_erased_yet")])
def test_what_could_be_done_twice_is_not_sent_again(driver: Driver, server: Scripted, failure: Reply) -> None:
    faq = driver.client.collection("faq")
    for call in (
        lambda: faq.rebuild(),
        lambda: faq.releases.roll_back(2),
        lambda: faq.records.put("r1", "text", if_match="1-1-a"),
        lambda: faq.groups.change("g1", title=None, if_match="1-1-a"),
        lambda: faq.records.erase(["r1"]),
    ):
        server.script += [failure, STARTED]
        with pytest.raises((ConnectionFailedError, UnavailableError)):
            driver.do(call())
        assert server.script.pop(0) is STARTED
    assert server.seen[2].headers["if-match"] == '"1-1-a"'
    assert server.seen[3].body == b'{"title": null}', "None takes the title away, and the rest stays"


def test_a_refusal_at_the_door_is_sent_again_whatever_it_is(driver: Driver, server: Scripted) -> None:
    server.script += [refusal(429, "rate_limited"), STARTED]
    assert driver.do(driver.client.collection("faq").rebuild()).id == "j1"


def test_a_delete_whose_answer_got_lost_is_done(driver: Driver, server: Scripted) -> None:
    records = driver.client.collection("faq").records
    server.script += [HANG_UP, refusal(404, "not_found")]
    driver.do(records.delete("r1"))
    server.script += [refusal(404, "not_found")]
    with pytest.raises(NotFoundError):
        driver.do(records.delete("r1"))
    server.script += [refusal(503, "overloaded"), refusal(404, "not_found")]
    with pytest.raises(NotFoundError):  # the first one was refused, not done
        driver.do(records.delete("r1"))


@pytest.mark.parametrize("code", ["not_audited", "not_ready", "storage_unavailable", "unavailable"])
def test_a_delete_that_was_refused_after_it_was_done_is_done(driver: Driver, server: Scripted, code: str) -> None:
    faq = driver.client.collection("faq")
    for delete in (faq.groups.delete, faq.records.delete):
        server.script += [refusal(503, code), refusal(503, "overloaded"), refusal(404, "not_found")]
        driver.do(delete("x"))
    server.script += [Reply(503, b"<html>a proxy</html>"), refusal(404, "not_found")]
    driver.do(faq.delete())
    server.script += [refusal(429, "rate_limited"), refusal(404, "not_found")]
    with pytest.raises(NotFoundError):
        driver.do(faq.delete())


def test_a_delete_says_whether_searches_show_it(driver: Driver, server: Scripted) -> None:
    records = driver.client.collection("faq").records
    server.script += [Reply(202, b'{"visible": false}'), Reply(204), HANG_UP, refusal(404, "not_found")]
    assert [driver.do(records.delete("r1", wait="visible")) for _ in range(3)] == [False, True, None]


def test_nobody_listens(kind: str, server: Scripted) -> None:
    with scripted() as gone:
        url = gone.url
    told = f" at {re.escape(url)}: .* after 4 attempts"
    with driving(kind, url) as driver, pytest.raises(ConnectionFailedError, match=told):
        driver.do(driver.client.collection("faq").rebuild())  # never sent, so safe to repeat


def test_a_slow_answer_is_not_asked_for_again(kind: str) -> None:
    slow = Reply(hangs_up=True, after_s=0.6)
    with scripted(slow, FOUND) as server, driving(kind, server.url, timeout=0.2) as driver:
        with pytest.raises(AnswerTimeoutError, match="may have been done"):
            similarity(driver)
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind_of_error"),
    [
        (401, UnauthorisedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (412, PreconditionFailedError),
        (422, InvalidValueError),
        (500, ServerError),
        (507, StorageFullError),
    ],
)
def test_other_refusals_are_raised_at_once(
    driver: Driver, server: Scripted, status: int, kind_of_error: type[Exception]
) -> None:
    problem = {"code": "c", "detail": "d", "request_id": "r2", "errors": [{"pointer": "/a", "detail": "b"}]}
    server.script += [answer(problem, status)]
    with pytest.raises(kind_of_error) as refused:
        similarity(driver)
    error: Any = refused.value
    assert (error.status, error.code, error.detail, error.request_id) == (status, "c", "d", "r2")
    assert [(wrong.pointer, wrong.detail) for wrong in error.errors] == [("/a", "b")]
    assert type(error) is kind_of_error


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>"),
        Reply(404, b"<html>"),
        Reply(200, b"<html>", {"Content-Encoding": "gzip"}),
        answer({"scores": "no"}),
    ],
)
def test_another_server_is_recognised(driver: Driver, server: Scripted, reply: Reply) -> None:
    server.script += [reply]
    with pytest.raises(UnexpectedAnswerError, match="is this a samesay server"):
        similarity(driver)


PROXY = [Reply(status, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}) for status in (502, 503, 504)]


def test_a_proxy_that_reaches_no_server_is_asked_again(driver: Driver, server: Scripted) -> None:
    server.script += [*PROXY, FOUND]
    assert similarity(driver).scores == [0.5]
    server.script += [PROXY[0]] * 4
    with pytest.raises(UnavailableError, match="something before the server, which reaches none") as refused:
        similarity(driver)
    assert (refused.value.status, refused.value.code) == (502, "no_server_behind_proxy")
    server.script += [PROXY[0], STARTED]
    with pytest.raises(UnavailableError):
        driver.do(driver.client.collection("faq").rebuild())
    assert server.script == [STARTED], "it may have been done"


def test_a_redirected_stream_is_no_answer_of_ours(driver: Driver, server: Scripted, tmp_path: Path) -> None:
    elsewhere = Reply(302, b"see there", {"Location": "https://example.org/login"})
    server.script += [answer(JOB), elsewhere, elsewhere]
    job = driver.do(driver.client.jobs.get("j1"))
    with pytest.raises(UnexpectedAnswerError, match="HTTP 302"):
        driver.do(job.download(tmp_path / "file"))
    with pytest.raises(UnexpectedAnswerError, match="HTTP 302"):
        driver.do(job.wait())


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTP_PROXY", "http_proxy", "all_proxy"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks://127.0.0.1:9"])
def test_no_proxy_is_asked_for_a_server_of_this_machine(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        server.script += [FOUND]
        with Client(url) as client:
            assert client.similarity("a", ["b"], encoder="e").scores == [0.5]
    server.script += [FOUND]

    async def ask() -> list[float]:
        async with AsyncClient(server.url) as client:
            return (await client.similarity("a", ["b"], encoder="e")).scores

    assert asyncio.run(ask()) == [0.5]


def test_pauses_grow_are_jittered_and_bounded() -> None:
    retries = Retries(first_s=1.0, most_s=5.0)
    for attempt, whole in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (100, 5.0), (5000, 5.0)):
        pauses = [retries.backoff_s(attempt) for _ in range(200)]
        assert whole / 2 <= min(pauses) < max(pauses) <= whole
        assert max(pauses) - min(pauses) > whole / 4
    with pytest.raises(ValueError, match="attempts is 0"):
        Retries(attempts=0)


def test_uploads_are_sent_again_only_where_they_can_be(driver: Driver, server: Scripted, tmp_path: Any) -> None:
    rows = [{"text": "我要退款"}, {"text": "money back"}]
    lines = '{"text": "我要退款"}\n{"text": "money back"}\n'.encode()
    file = tmp_path / "faq.ndjson"
    file.write_bytes(lines)
    faq = driver.client.collection("faq")
    for source in (rows, file, str(file)):
        server.script += [HANG_UP, STARTED]
        driver.do(faq.import_records(source))
        assert [seen.body for seen in server.seen[-2:]] == [lines, lines]
        assert server.seen[-1].headers["content-type"] == "application/x-ndjson"
    server.script += [HANG_UP, STARTED]
    with pytest.raises(ConnectionFailedError):
        driver.do(faq.import_records(iter(rows)))
    assert server.seen[-1].body == lines


def test_what_a_file_is_goes_by_its_name(driver: Driver, server: Scripted, tmp_path: Any) -> None:
    packed = tmp_path / "faq.CSV.gz"
    packed.write_bytes(b"packed")
    server.script += [STARTED, STARTED]
    driver.do(
        driver.client.collection("faq").import_records(
            packed, columns={"text": "question", "group": "intent"}, dry_run=True, max_rejected=3
        )
    )
    (seen,) = server.seen
    assert (seen.headers["content-type"], seen.headers["content-encoding"]) == ("text/csv", "gzip")
    assert (seen.headers["content-length"], seen.body) == ("6", b"packed")
    assert seen.path == (
        "/v1/collections/faq/imports?columns=text%3Aquestion%2Cgroup%3Aintent&dry_run=true&max_rejected=3"
    )
    with pytest.raises(ValueError, match=r"faq\.bin does not say what it is"):
        driver.client.collection("faq").import_records(tmp_path / "faq.bin")


def test_feedback(driver: Driver, server: Scripted) -> None:
    server.script += [HANG_UP, answer({"id": "f1", "state": "pending"}, 201)]
    receipt = driver.do(
        driver.client.collection("faq").feedback.give("where is it", "right_group", group="g", answer_id="a")
    )
    assert (receipt.id, receipt.state) == ("f1", "pending")
    first, second = server.seen
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert (second.method, second.path) == ("POST", "/v1/collections/faq/feedback")


def test_paths_are_quoted(driver: Driver, server: Scripted) -> None:
    server.script += [WRITTEN]
    driver.do(driver.client.collection("faq").records.put("a b?é%", "text"))
    assert server.seen[0].path == "/v1/collections/faq/records/a%20b%3F%C3%A9%25?wait=committed"
