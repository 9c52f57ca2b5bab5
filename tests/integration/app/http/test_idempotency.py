"""Idempotency-Key: what a client repeats, not knowing whether it was done, is done once and answered alike."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.db.database import Database
from app.errors import KeyReusedError, StillRunningError
from app.idempotency import attempts
from app.idempotency.attempts import Attempt, once
from app.idempotency.tables import KeptAnswer
from app.record.schemas import BatchAnswer
from tests.conftest import make_collection
from tests.fakes.running import Running, wait_for


def post(service: Running, path: str, body: Any, key: str) -> httpx.Response:
    return service.client.post(path, content=json.dumps(body), headers={"Idempotency-Key": key})


def test_a_batch_that_comes_again_changes_nothing_and_is_answered_alike(service: Running) -> None:
    name = make_collection(service)
    path = f"/v1/collections/{name}/records:batch"
    body = {
        "upsert": [{"id": "r1", "text": "a"}, {"id": "r2", "text": "word " * 100}, {"id": "bad", "text": " "}],
        "delete": ["nobody"],
    }
    first = post(service, path + "?wait=visible", body, "key-1")
    assert [item["status"] for item in first.json()["items"]] == [201, 201, 422, 404]
    assert [item["truncated"] for item in first.json()["items"]] == [False, True, None, None]
    service.client.delete(f"/v1/collections/{name}/records/r1")  # or else an upsert would repeat itself harmlessly
    again = post(service, path + "?wait=visible", body, "key-1")
    assert (again.status_code, again.json()) == (200, first.json())
    assert service.client.get(f"/v1/collections/{name}").json()["last_seq"] == 3
    other_body = post(service, path, {"delete": ["r2"]}, "key-1")
    assert (other_body.status_code, other_body.json()["code"]) == (422, "idempotency_key_reused")
    other_path = post(service, f"/v1/collections/{make_collection(service)}/records:batch", body, "key-1")
    assert other_path.json()["code"] == "idempotency_key_reused"
    assert post(service, path, body, "key-2").json()["items"][0]["status"] == 201


def test_a_collection_is_made_once(service: Running) -> None:
    body = {"name": "once", "encoder": "tiny"}
    first, again = (post(service, "/v1/collections", body, "k") for _ in range(2))
    assert (first.status_code, first.json(), first.headers["etag"]) == (201, again.json(), again.headers["etag"])
    assert again.status_code == 201
    assert post(service, "/v1/collections", body, "another").json()["code"] == "name_taken"


def test_what_failed_may_be_tried_again(service: Running) -> None:
    body = {"name": "later", "encoder": "tiny"}
    path = "/v1/collections/later/records:batch"
    batch = {"upsert": [{"id": "r1", "text": "a"}]}
    assert post(service, path, batch, "k").status_code == 404
    assert service.client.post("/v1/collections", json=body).status_code == 201
    assert post(service, path, batch, "k").status_code == 200


def test_a_collection_made_anew_is_not_told_what_its_namesake_was(service: Running) -> None:
    """What was kept of it is gone, and all is done anew; another collection's answers stay."""
    name, other = "twice", make_collection(service)
    body, place = {"name": name, "encoder": "tiny"}, f"/v1/collections/{name}"
    batch = {"upsert": [{"id": f"r{n}", "text": f"text {n}"} for n in range(3)]}
    said = {"text": "where is it", "verdict": "right_group", "group": "g"}

    def all_of_it() -> list[httpx.Response]:
        answers = [
            post(service, "/v1/collections", body, "made"),
            post(service, f"{place}/records:batch?wait=visible", batch, "stored"),
            post(service, f"{place}/feedback", said, "said"),
            post(service, f"{place}/exports", {"format": "ndjson"}, "written"),
        ]
        assert [answer.status_code for answer in answers] == [201, 200, 201, 202], [a.text for a in answers]
        return answers

    kept = post(service, f"/v1/collections/{other}/records:batch", batch, "of-another").json()
    first = all_of_it()
    assert [answer.json() for answer in all_of_it()] == [answer.json() for answer in first], "or nothing was kept"
    service.client.put(f"{place}/records/r3?wait=visible", json={"text": "text 3"})
    assert service.client.delete(place).status_code == 204
    again = all_of_it()
    assert service.client.get(place).json()["last_seq"] == 3
    assert service.client.get(f"{place}/records/r2").status_code == 200
    assert (again[1].json()["visible"], again[1].json()["items"][0]["status"]) == (True, 201)
    for field, number in (("etag", 0), ("id", 2), ("id", 3)):
        assert again[number].json()[field] != first[number].json()[field]
    service.client.delete(f"/v1/collections/{other}/records/r0")
    assert post(service, f"/v1/collections/{other}/records:batch", batch, "of-another").json() == kept


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_cannot_be_kept_is_refused(shared_service: Running, key: str) -> None:
    answer = post(shared_service, "/v1/collections", {"name": "x", "encoder": "tiny"}, key)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "Idempotency-Key")


def test_the_same_key_while_it_runs_is_a_conflict(shared_service: Running, collection: str) -> None:
    path, body = f"/v1/collections/{collection}/records:batch", {"upsert": [{"id": "r1", "text": "a"}]}
    gate, entered = threading.Event(), threading.Event()
    busy = shared_service.container.database.write(lambda _: (entered.set(), gate.wait(20)))
    assert entered.wait(10)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, shared_service, path, body, "running")
        wait_for(lambda: not shared_service.container.database._queue.empty())  # type: ignore[attr-defined]
        refused = post(shared_service, path, body, "running")
        gate.set()
        assert (refused.status_code, refused.json()["code"]) == (409, "still_running")
        assert int(refused.headers["retry-after"]) >= 1
        busy.result(10)
        assert running.result(10).json() == post(shared_service, path, body, "running").json()


def test_answers_are_kept_for_a_day_and_in_bounded_number(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST_KEPT", 3)
    done: list[str] = []

    def attempt(key: str, fingerprint: str = "f") -> BatchAnswer:
        def do() -> BatchAnswer:
            done.append(key)
            return BatchAnswer(items=[], seq=len(done))

        return database.write(lambda session: once(session, Attempt(key, fingerprint, "c"), BatchAnswer, do)).result(10)

    def kept() -> list[str]:
        return database.read(lambda session: list(session.scalars(select(KeptAnswer.key).order_by(KeptAnswer.id))))

    assert [attempt(key).seq for key in "abab"] == [1, 2, 1, 2]
    with pytest.raises(KeyReusedError):
        attempt("a", "another")
    for key in "cd":
        attempt(key)
    assert kept() == ["b", "c", "d"]

    def grow_old(session: Session) -> None:
        long_ago = datetime.now(UTC) - timedelta(hours=25)
        session.execute(update(KeptAnswer).where(KeptAnswer.key != "d").values(created_at=long_ago))

    database.write(grow_old).result(10)
    attempt("e")
    assert kept() == ["d", "e"]


def test_an_answer_is_kept_only_if_the_write_is(database: Database) -> None:
    def unit(session: Session) -> None:
        once(session, Attempt("k", "f", "c"), BatchAnswer, lambda: BatchAnswer(items=[], seq=1))
        raise ValueError("after all")

    assert isinstance(database.write(unit).exception(10), ValueError)
    assert database.read(lambda session: list(session.scalars(select(KeptAnswer.key)))) == []


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_key_that_another_server_is_answering_is_a_conflict_of_the_moment(database: Database) -> None:
    attempt = Attempt("k", "f", "c")

    def other(session: Session) -> BatchAnswer:
        return once(session, attempt, BatchAnswer, lambda: BatchAnswer(items=[], seq=1))

    def do() -> BatchAnswer:
        database.write(other).result(10)  # as another server, which this one knows nothing of
        return BatchAnswer(items=[], seq=2)

    with pytest.raises(StillRunningError):
        database.write(lambda session: once(session, attempt, BatchAnswer, do)).result(20)
    assert database.write(other).result(10).seq == 1
