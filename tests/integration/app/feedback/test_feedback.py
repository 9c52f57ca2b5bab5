"""Feedback over a real socket, on both databases: received, listed, accepted, rejected, deleted."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.feedback.tables import Feedback as Row
from app.record.tables import ChangeLogEntry
from tests.conftest import make_collection, sqlite_only
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, wait_for

Item = dict[str, Any]


class Feedback:
    """The feedback of one new collection."""

    def __init__(self, service: Running) -> None:
        self.service, self.client, self.name = service, service.client, make_collection(service)
        self.collection = f"/v1/collections/{self.name}"
        self.place = f"{self.collection}/feedback"

    def give(self, text: str, verdict: str = "wrong_answer", **fields: Any) -> str:
        answer = self.client.post(self.place, json={"text": text, "verdict": verdict, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def get(self, key: str) -> Item:
        return dict(self.client.get(f"{self.place}/{key}").raise_for_status().json())

    def patch(self, key: str, **body: Any) -> httpx.Response:
        return self.client.patch(f"{self.place}/{key}", json=body)

    def resolve(self, ids: list[str], **body: Any) -> Item:
        answer = self.client.post(f"{self.place}:resolve", json={"ids": ids, **body})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def records(self) -> dict[str, Item]:
        items = self.client.get(f"{self.collection}/records?limit=1000").raise_for_status().json()["items"]
        return {item["id"]: item for item in items}

    def last_seq(self) -> int:
        return int(self.client.get(self.collection).raise_for_status().json()["last_seq"])


@pytest.fixture
def feedback(service: Running) -> Feedback:
    return Feedback(service)


@pytest.fixture
def quick(shared_service: Running) -> Feedback:
    """The same over SQLite only, where a database of its own proves nothing."""
    return Feedback(shared_service)


def test_an_accepted_item_becomes_a_record_with_its_provenance(feedback: Feedback) -> None:
    metadata = {"channel": "mail", "tags": ["a", "b"]}
    answer_id = "0193a1b2c3d44e5f8a9b0c1d2e3f4a5b"
    key = feedback.give("where is my parcel", "right_group", group="track", answer_id=answer_id, metadata=metadata)
    before = feedback.get(key)
    assert (before["state"], before["verdict"], before["group"], before["source"], before["answer_id"]) == (
        "pending",
        "right_group",
        "track",
        "client",
        answer_id,
    )
    assert (before["created_by"], before["resolved_by"], before["record"]) == ("anonymous", None, None)
    assert feedback.records() == {}, "nothing is learnt before somebody accepts it"

    accepted = feedback.patch(key, state="accepted")
    assert accepted.status_code == 200, accepted.text
    item = accepted.json()
    assert item == feedback.get(key)
    assert (item["state"], item["role"], item["resolved_by"]) == ("accepted", "example", "anonymous")
    (record,) = feedback.records().values()
    assert (record["id"], record["text"], record["group"]) == (item["record"], "where is my parcel", "track")
    assert (record["source"], record["role"], record["seq"]) == ("feedback", "example", 1)
    moment = record["metadata"].pop("accepted_at")
    assert moment.replace("+00:00", "Z") == item["resolved_at"]
    assert record["metadata"] == {**metadata, "feedback": key, "accepted_by": "anonymous"}
    wait_for(lambda: feedback.client.get(feedback.collection).json()["visible_seq"] == 1)
    found = feedback.client.post(f"{feedback.collection}:classify", json={"text": "where is my parcel"}).json()
    assert (found["results"][0]["decision"], found["results"][0]["groups"][0]["group"]) == ("matched", "track")


def test_out_of_scope_becomes_a_record_that_is_never_found(quick: Feedback) -> None:
    first = quick.give("what is the capital of France", "out_of_scope")
    second = quick.give("sing me a song", "right_group", group="music")
    for key, body in ((first, {}), (second, {"role": "out_of_scope"})):
        item = quick.patch(key, state="accepted", **body).json()
        record = quick.records()[item["record"]]
        assert (record["role"], record["group"], item["role"], item["group"]) == (
            "out_of_scope",
            None,
            "out_of_scope",
            None,
        )
    third = quick.give("an echo", "out_of_scope")  # whoever accepts it knows better
    assert quick.patch(third, state="accepted", group="music").json()["role"] == "example"
    wait_for(lambda: quick.client.get(quick.collection).json()["visible_seq"] == 3)
    found = quick.client.post(f"{quick.collection}:search", json={"query": "sing me a song"}).json()
    assert [one["text"] for one in found["results"][0]] == ["an echo"]


def test_a_text_that_its_group_has_already_makes_no_record(feedback: Feedback) -> None:
    feedback.client.put(f"{feedback.collection}/records/mine", json={"text": "refund me", "group": "refund"})
    feedback.client.put(f"{feedback.collection}/records/loose", json={"text": "no group"})
    known = feedback.give("refund me", "right_group", group="refund")
    twice = [feedback.give("money back", "right_group", group="refund") for _ in range(2)]
    elsewhere = feedback.give("refund me", "right_group", group="other")
    loose = feedback.give("no group", "out_of_scope")
    answer = feedback.resolve([known, *twice, elsewhere, loose], state="accepted")
    assert [(item["status"], item["created"]) for item in answer["items"]] == [
        (200, False),
        (200, True),
        (200, False),
        (200, True),
        (200, True),
    ]
    assert [item["record"] for item in answer["items"]] == [
        "mine",
        f"feedback-{twice[0]}",
        f"feedback-{twice[0]}",
        f"feedback-{elsewhere}",
        f"feedback-{loose}",
    ]
    assert (len(feedback.records()), answer["seq"], feedback.last_seq()) == (5, 5, 5)
    mine = feedback.records()["mine"]
    assert (mine["source"], mine["version"]) == ("api", 1)


def test_accepting_again_changes_nothing_and_otherwise_is_a_conflict(quick: Feedback) -> None:
    key = quick.give("refund me", "right_group", group="refund")
    first = quick.patch(key, state="accepted").json()
    assert quick.patch(key, state="accepted").json() == first
    assert quick.patch(key, state="accepted", group="refund").json() == first
    for body in ({"state": "accepted", "group": "other"}, {"state": "rejected"}):
        problem = assert_problem(quick.patch(key, **body), 409, "conflict")
        assert first["record"] in problem["detail"]
    assert (quick.get(key), quick.last_seq()) == (first, 1)


def test_what_was_accepted_is_written_again_once_its_record_was_deleted(feedback: Feedback) -> None:
    key = feedback.give("where is my parcel", "right_group", group="track")
    place = f"{feedback.collection}/records/feedback-{key}"
    for group in ("track", "parcels"):
        (accepted,) = feedback.resolve([key], state="accepted", group=group)["items"]
        assert (accepted["status"], accepted["record"], accepted["created"]) == (200, f"feedback-{key}", True)
        assert [record["group"] for record in feedback.records().values()] == [group]
        assert feedback.patch(key, state="rejected").status_code == 409
        assert feedback.client.delete(place).status_code == 204
    assert feedback.patch(key, state="rejected").json()["record"] is None
    feedback.client.put(f"{feedback.collection}/records/own", json={"text": "where is my parcel", "group": "parcels"})
    (confirmed,) = feedback.resolve([key], state="accepted", group="parcels")["items"]
    assert (confirmed["record"], confirmed["created"]) == ("own", False)


def test_what_another_record_said_is_written_once_that_says_something_else(quick: Feedback) -> None:
    own = f"{quick.collection}/records/own"
    quick.client.put(own, json={"text": "where is my parcel", "group": "track"})
    first, second = (quick.give("where is my parcel", "right_group", group="track") for _ in range(2))
    for item in quick.resolve([first, second], state="accepted")["items"]:
        assert (item["record"], item["created"]) == ("own", False)
    quick.client.put(own, json={"text": "when do you open", "group": "hours"})
    assert quick.patch(first, state="rejected").json()["record"] is None
    (again,) = quick.resolve([second], state="accepted")["items"]
    assert (again["record"], again["created"]) == (f"feedback-{second}", True)
    assert {record["text"]: record["group"] for record in quick.records().values()} == {
        "when do you open": "hours",
        "where is my parcel": "track",
    }


def test_a_record_that_somebody_put_right_stays_as_it_is(quick: Feedback) -> None:
    key = quick.give("wher is my parcle", "right_group", group="track")
    record = quick.patch(key, state="accepted").json()["record"]
    quick.client.put(f"{quick.collection}/records/{record}", json={"text": "where is my parcel", "group": "track"})
    (again,) = quick.resolve([key], state="accepted")["items"]
    assert (again["record"], again["created"]) == (record, False)
    assert [found["text"] for found in quick.records().values()] == ["where is my parcel"]


def test_what_its_sender_said_outlives_a_slip_of_whoever_accepts(quick: Feedback) -> None:
    def accept_by_mistake(key: str, **place: str) -> None:
        assert quick.patch(key, state="accepted", **place).status_code == 200
        quick.client.delete(f"{quick.collection}/records/feedback-{key}").raise_for_status()
        assert quick.patch(key, state="rejected").status_code == 200

    named = quick.give("where is my parcel", "right_group", group="track")
    for place in ({"role": "out_of_scope"}, {"group": "refund"}):
        accept_by_mistake(named, **place)
        assert (quick.get(named)["state"], quick.get(named)["group"]) == ("rejected", "track")
    assert quick.patch(named, state="accepted").json()["group"] == "track"
    unnamed = quick.give("hm", "wrong_answer")
    accept_by_mistake(unnamed, group="refund")
    assert quick.get(unnamed)["group"] is None
    assert_problem(quick.patch(unnamed, state="accepted"), 422, "invalid_value")


def test_what_was_rejected_can_be_accepted_after_all(quick: Feedback) -> None:
    key = quick.give("hmm")
    rejected = quick.patch(key, state="rejected").json()
    assert (rejected["state"], rejected["resolved_by"], rejected["record"]) == ("rejected", "anonymous", None)
    assert quick.patch(key, state="rejected").json() == rejected
    assert quick.last_seq() == 0
    problem = assert_problem(quick.patch(key, state="accepted"), 422, "invalid_value")
    assert "give group, or the role out_of_scope" in problem["detail"]
    assert quick.get(key) == rejected
    assert quick.patch(key, state="accepted", group="g").json()["state"] == "accepted"


def test_each_item_of_a_batch_has_a_status_of_its_own(feedback: Feedback) -> None:
    named = [feedback.give(f"text {n}", "right_group", group=f"g{n % 2}") for n in range(4)]
    unnamed = feedback.give("who knows")
    done = feedback.give("done before", "right_group", group="g9")
    feedback.patch(done, state="accepted")
    ids = [named[0], "nobody", unnamed, done, named[1], named[0]]
    answer = feedback.resolve(ids, state="accepted")
    assert [item["id"] for item in answer["items"]] == ids
    assert [item["status"] for item in answer["items"]] == [200, 404, 422, 200, 200, 200]
    assert [item["code"] for item in answer["items"]] == [None, "not_found", "invalid_value", None, None, None]
    assert answer["items"][0] == answer["items"][5]
    assert answer["items"][3]["created"] is False
    rejected = feedback.resolve([named[0], named[2]], state="rejected")
    assert [item["status"] for item in rejected["items"]] == [409, 200]
    assert [feedback.get(key)["state"] for key in named] == ["accepted", "accepted", "rejected", "pending"]
    assert {record["text"]: record["group"] for record in feedback.records().values()} == {
        "text 0": "g0",
        "text 1": "g1",
        "done before": "g9",
    }
    assert changes(feedback) == [1, 2, 3]


def changes(feedback: Feedback) -> list[int]:
    """The sequence numbers in the collection's change log."""
    database = feedback.service.container.database
    return database.read(lambda session: list(session.scalars(select(ChangeLogEntry.seq).order_by(ChangeLogEntry.seq))))


def test_a_thousand_items_are_resolved_at_once(quick: Feedback) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(quick.give, [f"question {n % 700}" for n in range(1000)]))
    answer = quick.resolve(ids, state="accepted", group="g")
    assert sum(item["created"] for item in answer["items"]) == len(quick.records()) == quick.last_seq() == 700
    too_many = quick.client.post(f"{quick.place}:resolve", json={"ids": [*ids, "x"], "state": "rejected"})
    assert_problem(too_many, 422, "invalid_value")


def test_those_who_accept_at_the_same_time_make_one_record(feedback: Feedback) -> None:
    key = feedback.give("refund me", "right_group", group="refund")
    echo = feedback.give("refund me", "right_group", group="refund")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: feedback.patch((key, echo)[n % 2], state="accepted"), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert (len(feedback.records()), changes(feedback)) == (1, [1])


def test_a_list_is_filtered_and_paged(quick: Feedback) -> None:
    ids = [
        quick.give(f"t{n}", *(("right_group",) if n % 2 else ("wrong_answer",)), **({"group": "g"} if n % 2 else {}))
        for n in range(7)
    ]
    quick.resolve(ids[:4], state="rejected")
    listed: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = quick.client.get(quick.place, params={"limit": 2, "state": "rejected", **cursor}).json()
        listed += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == ids[:4]
    both = quick.client.get(quick.place, params={"state": "pending", "verdict": "right_group"}).json()["items"]
    assert [item["id"] for item in both] == [ids[5]]
    assert quick.client.get(quick.place, params={"source": "kept_query"}).json()["items"] == []
    assert len(quick.client.get(quick.place, params={"source": "client"}).json()["items"]) == 7
    first = quick.client.get(quick.place, params={"limit": 2, "state": "rejected"}).json()["next_cursor"]
    for other in ({"state": "pending"}, {}, {"state": "rejected", "source": "client"}):
        assert_problem(quick.client.get(quick.place, params={"cursor": first, **other}), 422, "invalid_value")
    assert_problem(quick.client.get(quick.place, params={"state": "unheard"}), 422, "invalid_value")


@sqlite_only
def test_feedback_that_comes_again_is_stored_once(feedback: Feedback) -> None:
    body = {"text": "refund me", "verdict": "right_group", "group": "refund"}
    headers = {"Idempotency-Key": "k1"}
    first, again = (feedback.client.post(feedback.place, json=body, headers=headers) for _ in range(2))
    assert (first.status_code, first.json(), first.headers["location"]) == (
        201,
        again.json(),
        f"{feedback.place}/{again.json()['id']}",
    )
    other = feedback.client.post(feedback.place, json={**body, "text": "other"}, headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")
    assert len(feedback.client.get(feedback.place).json()["items"]) == 1
    assert 'samesay_feedback_total{verdict="right_group"} 1.0' in feedback.client.get("/metrics").text
    resolve = {"ids": [first.json()["id"]], "state": "accepted"}
    answers = [
        feedback.client.post(f"{feedback.place}:resolve", json=resolve, headers={"Idempotency-Key": "k2"}).json()
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert answers[0]["items"][0]["created"] is True
    feedback.resolve(resolve["ids"] * 2, state="accepted")
    assert feedback.patch(resolve["ids"][0], state="accepted").status_code == 200
    assert 'samesay_feedback_resolved_total{state="accepted"} 1.0' in feedback.client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"text": "a", "verdict": "right_group"}, ""),
        ({"text": "a", "verdict": "out_of_scope", "group": "g"}, ""),
        ({"text": " ", "verdict": "out_of_scope"}, "/text"),
        ({"text": "a", "verdict": "good"}, "/verdict"),
        ({"text": "a", "verdict": "out_of_scope", "answer_id": "x"}, "/answer_id"),
        ({"text": "a", "verdict": "out_of_scope", "metadata": {"a": {"b": 1}}}, "/metadata/a"),
        ({"text": "a", "verdict": "out_of_scope", "metadata": {"a": "x" * 9000}}, "/metadata"),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(quick: Feedback, body: Item, pointer: str) -> None:
    problem = assert_problem(quick.client.post(quick.place, json=body), 422, "invalid_value")
    assert problem["errors"][0]["pointer"].startswith(pointer)
    assert quick.client.get(quick.place).json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"state": "pending"},
        {"state": "rejected", "group": "g"},
        {"state": "accepted", "group": "g", "role": "out_of_scope"},
        {},
    ],
)
def test_a_resolution_that_makes_no_sense_is_refused(quick: Feedback, body: Item) -> None:
    key = quick.give("a")
    assert_problem(quick.patch(key, **body), 422, "invalid_value")
    assert_problem(quick.client.post(f"{quick.place}:resolve", json={"ids": [key], **body}), 422, "invalid_value")
    assert quick.get(key)["state"] == "pending"


def test_an_item_can_be_deleted_and_what_it_became_stays(quick: Feedback) -> None:
    key = quick.give("refund me", "right_group", group="refund")
    quick.patch(key, state="accepted")
    assert quick.client.delete(f"{quick.place}/{key}").status_code == 204
    assert_problem(quick.client.get(f"{quick.place}/{key}"), 404, "not_found")
    assert_problem(quick.client.delete(f"{quick.place}/{key}"), 404, "not_found")
    assert len(quick.records()) == 1


def test_a_deleted_collection_takes_its_feedback_along(feedback: Feedback) -> None:
    feedback.give("refund me")
    other = Feedback(feedback.service)
    kept = other.give("stays")
    assert feedback.client.delete(feedback.collection).status_code == 204
    assert_problem(feedback.client.get(feedback.place), 404, "not_found")
    database = feedback.service.container.database
    assert database.read(lambda session: list(session.scalars(select(Row.key)))) == [kept]


def test_another_collections_items_are_not_to_be_seen(quick: Feedback) -> None:
    key = quick.give("refund me", "right_group", group="refund")
    other = Feedback(quick.service)
    assert_problem(other.client.get(f"{other.place}/{key}"), 404, "not_found")
    assert_problem(other.patch(key, state="accepted"), 404, "not_found")
    assert other.resolve([key], state="rejected")["items"][0]["status"] == 404
    assert quick.get(key)["state"] == "pending"


def test_an_export_takes_along_where_a_record_came_from(quick: Feedback) -> None:
    key = quick.give("refund me", "right_group", group="refund")
    quick.patch(key, state="accepted")
    job = quick.client.post(f"{quick.collection}/exports", json={}).json()["id"]
    wait_for(lambda: quick.client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded")
    text = quick.client.get(f"/v1/jobs/{job}/file").text
    assert f'"feedback":"{key}"' in text
    other = make_collection(quick.service)
    headers = {"Content-Type": "application/x-ndjson"}
    imported = quick.client.post(f"/v1/collections/{other}/imports", content=text, headers=headers).json()["id"]
    wait_for(lambda: quick.client.get(f"/v1/jobs/{imported}").json()["state"] == "succeeded")
    (record,) = quick.client.get(f"/v1/collections/{other}/records").json()["items"]
    assert (record["source"], record["metadata"]["feedback"]) == ("import", key)
