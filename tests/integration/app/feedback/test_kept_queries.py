"""Queries are kept as the collection says, off the request path, in bounded number and for a bounded time."""

import contextlib
import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy import select, update

from app.errors import StorageError
from app.feedback import query_keeper
from app.feedback.keeping import FeedbackSettings, KeepQueries
from app.feedback.query_keeper import Keeping, QueryKeeper
from app.feedback.tables import Feedback
from app.observability.logs import configure_logging
from model.contract.deciding.decision import Decision, GroupConfidence, Outcome
from tests.conftest import make_collection, sqlite_only
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, wait_for

MATCHED, NO_MATCH = (
    Decision(
        outcome=outcome, confidence=0.9, score=0.5, groups=(GroupConfidence(group="g", confidence=0.9, score=0.5),)
    )
    for outcome in (Outcome.MATCHED, Outcome.NO_MATCH)
)


class Kept:
    """A collection with one record, and what is kept of its queries."""

    def __init__(self, service: Running, **settings: Any) -> None:
        self.service, self.client, self.name = service, service.client, make_collection(service)
        self.place = f"/v1/collections/{self.name}"
        record = {"text": "I want my money back", "group": "refund"}
        self.client.put(f"{self.place}/records/r1?wait=visible", json=record).raise_for_status()
        self.set(**settings)

    def set(self, **settings: Any) -> None:
        """Change settings and wait until requests see them."""
        self.client.patch(self.place, json=settings).raise_for_status()
        wanted = self.client.get(self.place).json()["keep_queries"]
        keeping = lambda: getattr(self.release.keeping, "keep_queries", KeepQueries.OFF)  # noqa: E731
        wait_for(lambda: keeping() == wanted)

    @property
    def release(self) -> Any:
        release = self.service.container.serving.find(self.name)
        assert release is not None
        return release

    def ask(self, *texts: str) -> None:
        self.client.post(f"{self.place}:classify", json={"texts": texts}).raise_for_status()

    def offer(self, texts: list[str], decision: Decision = NO_MATCH, **settings: Any) -> None:
        """Put queries down as requests do, but all at once."""
        wanted = FeedbackSettings(**{"keep_queries": KeepQueries.UNMATCHED, **settings})
        keeper = self.service.container.keeper
        keeper.offer(
            self.release.key.collection_id,
            1,
            wanted,
            texts,
            [decision] * len(texts),
            erasures=self.release.erasures,
        )

    def counts(self) -> dict[str, int]:
        """How often each text was asked, once all is stored."""
        self.service.container.keeper.flush()
        items = self.client.get(f"{self.place}/feedback?limit=1000&source=kept_query").raise_for_status().json()
        return {item["text"]: item["count"] for item in items["items"]}

    def outcome(self, keeping: Keeping) -> float:
        found = self.service.container.metrics.registry.get_sample_value(
            "samesay_kept_queries_total", {"outcome": keeping}
        )
        return found or 0.0


def test_nothing_is_kept_unless_a_collection_asks_for_it(shared_service: Running) -> None:
    kept = Kept(shared_service)
    kept.ask("the weather", "I want my money back")
    assert kept.release.keeping is None
    assert kept.counts() == {}
    state = kept.client.get(kept.place).json()
    assert (state["keep_queries"], state["keep_queries_days"], state["keep_queries_most"]) == ("off", 30, 10_000)
    assert (state["keep_queries_share"], state["auto_retrain_after"]) == (0.01, None)


def test_unmatched_queries_are_kept_with_what_was_answered(shared_service: Running) -> None:
    kept = Kept(shared_service, keep_queries="unmatched")
    kept.ask("the weather", "I want my money back")
    answered = kept.client.post(f"{kept.place}:classify", json={"text": "The  WEATHER"}).json()["results"][0]
    kept.client.post(f"{kept.place}:search", json={"query": "searches have no decision"}).raise_for_status()
    assert kept.counts() == {"the weather": 2}
    (item,) = kept.client.get(f"{kept.place}/feedback").json()["items"]
    assert (item["source"], item["state"], item["verdict"], item["created_by"]) == ("kept_query", "pending", None, None)
    assert (item["release"], item["decision"], item["record"]) == (1, answered["decision"], None)
    assert item["confidence"] == pytest.approx(answered["confidence"], abs=1e-6)
    assert [group["group"] for group in item["groups"]] == [group["group"] for group in answered["groups"]]
    first, last = (datetime.fromisoformat(item[name]) for name in ("created_at", "last_seen_at"))
    assert first < last <= datetime.now(UTC)
    kept.set(keep_queries="off")
    kept.ask("never seen")
    assert kept.counts() == {"the weather": 2}


@sqlite_only
def test_a_kept_query_is_accepted_and_still_counted(service: Running) -> None:
    kept = Kept(service, keep_queries="unmatched")
    kept.ask("the weather", "rain or sun")
    assert kept.counts() == {"the weather": 1, "rain or sun": 1}
    keys = {item["text"]: item["id"] for item in kept.client.get(f"{kept.place}/feedback").json()["items"]}
    body: dict[str, Any] = {"ids": [keys["the weather"]], "state": "accepted", "group": "weather"}
    kept.client.post(f"{kept.place}/feedback:resolve", json=body).raise_for_status()
    body = {"ids": [keys["rain or sun"]], "state": "rejected"}
    kept.client.post(f"{kept.place}/feedback:resolve", json=body).raise_for_status()
    kept.offer(["the weather", "Rain or sun", "rain or sun"])
    assert kept.counts() == {"the weather": 2, "rain or sun": 3}
    states = {item["text"]: item["state"] for item in kept.client.get(f"{kept.place}/feedback").json()["items"]}
    assert states == {"the weather": "accepted", "rain or sun": "rejected"}, "what was decided stays decided"
    assert kept.client.get(f"{kept.place}/feedback/clusters").json()["pending"] == 0


def test_a_share_of_all_queries_is_kept(shared_service: Running) -> None:
    kept = Kept(shared_service)
    keeper = QueryKeeper(shared_service.container.database, lambda *_: None, random.Random(3))
    kept.set(keep_queries="sampled", keep_queries_share=0.25)
    wanted = FeedbackSettings(keep_queries=KeepQueries.SAMPLED, keep_queries_share=0.25)
    for decision in (MATCHED, NO_MATCH):
        texts = [f"{decision.outcome} {n}" for n in range(1000)]
        keeper.offer(kept.release.key.collection_id, 1, wanted, texts, [decision] * 1000, erasures=0)
    keeper.flush()
    kinds = Counter(text.split()[0] for text in kept.counts())
    # binomial(1000, 1/4): the standard deviation is 13.7
    assert all(abs(kinds[kind] - 250) < 60 for kind in (Outcome.MATCHED, Outcome.NO_MATCH)), kinds
    kept.set(keep_queries_share=1.0)
    kept.ask("I want my money back")
    assert kept.counts()["I want my money back"] == 1


def test_counts_are_those_of_a_plain_counter(service: Running) -> None:
    kept = Kept(service, keep_queries="unmatched")
    chance = random.Random(1)
    texts = [f"question {min(chance.randrange(60), chance.randrange(60))}" for _ in range(900)]
    for start in range(0, len(texts), 90):
        kept.offer(texts[start : start + 90])
    assert kept.counts() == Counter(texts)


def test_no_more_texts_are_kept_than_the_collection_says(service: Running) -> None:
    """Those that were not asked for longest go first; what was accepted counts for nothing."""
    kept = Kept(service, keep_queries="unmatched", keep_queries_most=5)
    kept.offer(["accepted"])
    kept.counts()
    (item,) = kept.client.get(f"{kept.place}/feedback").json()["items"]
    body = {"state": "accepted", "group": "g"}
    kept.client.patch(f"{kept.place}/feedback/{item['id']}", json=body).raise_for_status()
    for text in ["a", "b", "c", "d", "e", "a", "f", "g"]:
        kept.offer([f"text {text}"])
        kept.service.container.keeper.flush()
    assert kept.counts() == {"accepted": 1, "text a": 2, **{f"text {text}": 1 for text in "defg"}}


def test_queries_expire_after_the_days_of_their_collection(service: Running) -> None:
    service.container.keeper.stop()  # on a slow machine its thread would delete before the test does
    kept, other = Kept(service, keep_queries="unmatched", keep_queries_days=7), Kept(service, keep_queries="unmatched")
    client_item = kept.client.post(f"{kept.place}/feedback", json={"text": "stays", "verdict": "wrong_answer"}).json()
    for collection in (kept, other):
        collection.offer(["old", "older", "rejected", "accepted"])
        items = dict.fromkeys(collection.counts())
        assert len(items) == 4
    found = {item["text"]: item["id"] for item in kept.client.get(f"{kept.place}/feedback").json()["items"]}
    kept.client.patch(f"{kept.place}/feedback/{found['accepted']}", json={"state": "accepted", "group": "g"})
    kept.client.patch(f"{kept.place}/feedback/{found['rejected']}", json={"state": "rejected"})
    now = datetime.now(UTC)
    database = service.container.database

    def age(session: Any) -> None:
        session.execute(update(Feedback).values(last_seen_at=now - timedelta(days=8)))
        session.execute(update(Feedback).where(Feedback.text == "old").values(last_seen_at=now - timedelta(days=6)))

    database.write(age).result()
    assert service.container.keeper.tidy(now) == 2
    assert kept.counts() == {"old": 1, "accepted": 1}
    assert len(other.counts()) == 4
    assert kept.client.get(f"{kept.place}/feedback/{client_item['id']}").status_code == 200
    assert service.container.keeper.tidy(now + timedelta(days=25)) == 5


@sqlite_only
def test_the_thread_itself_stores_and_expires(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_keeper, "_STORE_S", 0.02)
    monkeypatch.setattr(query_keeper, "_TIDY_S", 0.0)
    kept = Kept(service, keep_queries="unmatched", keep_queries_days=1)
    kept.ask("the weather")
    database = service.container.database

    def texts(session: Any) -> list[str]:
        return list(session.scalars(select(Feedback.text)))

    wait_for(lambda: database.read(texts) == ["the weather"])
    long_ago = datetime.now(UTC) - timedelta(days=2)
    database.write(lambda session: session.execute(update(Feedback).values(last_seen_at=long_ago))).result()
    wait_for(lambda: database.read(texts) == [])


def test_what_the_queue_has_no_room_for_is_dropped_and_counted(
    shared_service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_keeper, "MOST_WAITING", 10)
    kept = Kept(shared_service)
    kept.set(keep_queries="unmatched")
    keeper = shared_service.container.keeper
    keeper.flush()
    before = {keeping: kept.outcome(keeping) for keeping in Keeping}
    with keeper._storing:  # as long as a slow transaction
        kept.offer([f"text {n}" for n in range(25)])
        kept.offer(["x" * 2001])
    assert len(kept.counts()) == 10
    gained = {keeping: kept.outcome(keeping) - before[keeping] for keeping in Keeping}
    assert gained == {Keeping.KEPT: 10, Keeping.QUEUE_FULL: 15, Keeping.TOO_LONG: 1, Keeping.DROPPED: 0}


@sqlite_only
def test_queries_of_a_collection_that_is_gone_or_wants_none_are_dropped(service: Running) -> None:
    gone, off, on = Kept(service, keep_queries="unmatched"), Kept(service), Kept(service, keep_queries="unmatched")
    with service.container.keeper._storing:  # as long as a slow transaction
        for collection in (gone, off, on):
            collection.offer([f"asked in {collection.name}"])
        gone.client.delete(gone.place).raise_for_status()
    assert (off.counts(), on.counts()) == ({}, {f"asked in {on.name}": 1})
    assert (on.outcome(Keeping.KEPT), on.outcome(Keeping.DROPPED)) == (1, 2)


def test_requests_are_answered_while_nothing_can_be_stored(shared_service: Running) -> None:
    kept = Kept(shared_service, keep_queries="unmatched")
    database, gate = shared_service.container.database, threading.Event()
    busy = database.write(lambda _: gate.wait(20))
    try:
        for n in range(20):
            kept.ask(f"the weather of day {n}")
    finally:
        gate.set()
    busy.result(10)
    assert len(kept.counts()) == 20


def test_queries_that_the_database_does_not_take_are_dropped_and_counted(
    shared_service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, keeper = Kept(shared_service, keep_queries="unmatched"), shared_service.container.keeper
    keeper.flush()
    before = kept.outcome(Keeping.DROPPED)

    def away(*_: object) -> None:
        raise StorageError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(keeper._database, "write", away)
        kept.offer([f"lost {n}" for n in range(7)])
        with contextlib.suppress(StorageError):  # unless the thread was faster
            keeper.flush()
        wait_for(lambda: kept.outcome(Keeping.DROPPED) - before == 7)
    kept.offer(["found"])
    assert kept.counts() == {"found": 1}
    assert keeper.is_alive


@sqlite_only
def test_a_stopping_server_stores_what_waits(service: Running) -> None:
    kept = Kept(service, keep_queries="unmatched")
    kept.ask("the weather")
    service.container.keeper.stop()
    texts = service.container.database.read(lambda session: list(session.scalars(select(Feedback.text))))
    assert texts == ["the weather"]


@pytest.mark.parametrize(
    "settings",
    [
        {"keep_queries": "all"},
        {"keep_queries_share": 0},
        {"keep_queries_share": 1.5},
        {"keep_queries_days": 0},
        {"keep_queries_days": 366},
        {"keep_queries_most": 0},
        {"keep_queries_most": 1.5},
        {"auto_retrain_after": 0},
        {"keep_queries": None},
    ],
)
def test_settings_that_make_no_sense_are_refused(shared_service: Running, collection: str, settings: Any) -> None:
    place = f"/v1/collections/{collection}"
    problem = assert_problem(shared_service.client.patch(place, json=settings), 422, "invalid_value")
    assert problem["errors"][0]["pointer"] == f"/{next(iter(settings))}"
    created = shared_service.client.post("/v1/collections", json={"name": "x", "encoder": "tiny", **settings})
    assert_problem(created, 422, "invalid_value")


def test_settings_given_at_creation_hold(shared_service: Running) -> None:
    settings = {
        "keep_queries": "sampled",
        "keep_queries_share": 0.5,
        "keep_queries_days": 3,
        "keep_queries_most": 7,
        "auto_retrain_after": 20,
    }
    body = {"name": "keeps-from-the-start", "encoder": "tiny", **settings}
    created = shared_service.client.post("/v1/collections", json=body).json()
    assert {name: created[name] for name in settings} == settings
    patched = shared_service.client.patch("/v1/collections/keeps-from-the-start", json={"auto_retrain_after": None})
    assert {name: patched.json()[name] for name in settings} == {**settings, "auto_retrain_after": None}


def test_no_text_is_in_logs_or_metrics(
    shared_service: Running, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(shared_service, keep_queries="unmatched")
    kept.ask("zanzibar quicksilver")
    kept.counts()
    kept.client.post(f"{kept.place}/feedback", json={"text": "zanzibar quicksilver", "verdict": "out_of_scope"})
    monkeypatch.setattr(query_keeper, "find_expired", lambda *_: 1 / 0)
    configure_logging("DEBUG")
    try:
        shared_service.container.keeper._guarded(lambda: shared_service.container.keeper.tidy(datetime.now(UTC)))
    finally:
        structlog.reset_defaults()
    out, err = capfd.readouterr()
    assert "query_keeper_failed" in out + err
    assert "zanzibar" not in out + err + kept.client.get("/metrics").text
