"""SIGKILL while feedback comes and is accepted: what was acknowledged is there, and items are accepted with records."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import add_encoder
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import spawned

ROUNDS = int(os.environ.get("SAMESAY_CRASH_ROUNDS", "2"))
SEED = int(os.environ.get("SAMESAY_CRASH_SEED", random.randrange(10**6)))
COLLECTION = "/v1/collections/faq"
PLACE = f"{COLLECTION}/feedback"


@dataclass
class Reviewer:
    """Sends feedback and resolves it until the server dies; knows what was acknowledged."""

    name: str
    rng: random.Random
    given: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    pending: list[str] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)
    acknowledged: int = 0

    def work(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            try:
                while True:
                    self.give(client)
                    if len(self.pending) > 3:
                        self.resolve(client)
            except httpx.TransportError:
                return

    def give(self, client: httpx.Client) -> None:
        text = f"{self.name} asks {self.rng.randrange(10**9)}"
        body = {"text": text, "verdict": "right_group", "group": f"g{self.rng.randrange(3)}"}
        answer = client.post(PLACE, json=body)
        assert answer.status_code == 201, answer.text
        key = answer.json()["id"]
        self.given[key] = text
        self.pending.append(key)
        self.acknowledged += 1

    def resolve(self, client: httpx.Client) -> None:
        keys = [self.pending.pop() for _ in range(self.rng.randint(1, 3))]
        state = self.rng.choice(("accepted", "accepted", "rejected"))
        self.doubtful = set(keys)
        answer = client.post(f"{PLACE}:resolve", json={"ids": keys, "state": state})
        assert [item["status"] for item in answer.json()["items"]] == [200] * len(keys), answer.text
        self.doubtful = set()
        (self.accepted if state == "accepted" else self.rejected).update(keys)
        self.acknowledged += 1


def everything(client: httpx.Client, path: str) -> dict[str, dict[str, Any]]:
    items: dict[str, dict[str, Any]] = {}
    cursor: dict[str, str] = {}
    while True:
        page = client.get(path, params={"limit": 1000, **cursor}).raise_for_status().json()
        items |= {item["id"]: item for item in page["items"]}
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def check(client: httpx.Client, reviewers: list[Reviewer]) -> None:
    """Nothing that was acknowledged is lost; nothing is half accepted, acknowledged or not."""
    items, records = everything(client, PLACE), everything(client, f"{COLLECTION}/records")
    for reviewer in reviewers:
        assert all(items[key]["text"] == text for key, text in reviewer.given.items())
        assert all(items[key]["state"] == "accepted" for key in reviewer.accepted)
        assert all(items[key]["state"] == "rejected" for key in reviewer.rejected)
        assert all(items[key]["state"] == "pending" for key in reviewer.pending)
        states = {items[key]["state"] for key in reviewer.doubtful}
        assert len(states) <= 1, "a batch is one transaction"
        for key in reviewer.doubtful:
            {"accepted": reviewer.accepted, "rejected": reviewer.rejected}.get(states.copy().pop(), set()).add(key)
        reviewer.doubtful = set()
    accepted = {key: item for key, item in items.items() if item["state"] == "accepted"}
    assert {f"feedback-{key}" for key in accepted} == records.keys()
    for key, item in accepted.items():
        record = records[item["record"]]
        assert (record["text"], record["group"], record["source"]) == (item["text"], item["group"], "feedback")
        assert record["metadata"]["feedback"] == key
    assert sorted(record["seq"] for record in records.values()) == list(range(1, len(records) + 1))
    assert client.get(COLLECTION).json()["last_seq"] == len(records)


def test_acknowledged_feedback_survives_sigkill(tmp_path: Path, tiny_bundle: Path) -> None:
    print(f"SAMESAY_CRASH_SEED={SEED}")
    data = tmp_path / "data"
    add_encoder(make_settings(data), tiny_bundle)
    rng = random.Random(SEED)
    reviewers = [Reviewer(f"reviewer {n}", random.Random(f"{SEED} {n}")) for n in range(3)]
    for number in range(ROUNDS):
        with spawned(data) as server, ThreadPoolExecutor(len(reviewers)) as pool:
            with server.client() as client:
                if number == 0:
                    client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
                else:
                    check(client, reviewers)
            before = [reviewer.acknowledged for reviewer in reviewers]
            working = [pool.submit(reviewer.work, server.url) for reviewer in reviewers]
            try:
                wait_for(lambda: all(r.acknowledged > then + 20 for r, then in zip(reviewers, before, strict=True)))  # noqa: B023
                time.sleep(rng.uniform(0, 0.2))
            finally:
                server.process.kill()
            for future in working:
                future.result(30)
            server.process.wait(10)
    with spawned(data) as server, server.client() as client:
        check(client, reviewers)
    assert all(reviewer.accepted and reviewer.rejected for reviewer in reviewers), "else this proves nothing"


@pytest.mark.slow
def test_kept_queries_survive_an_orderly_stop(tmp_path: Path, tiny_bundle: Path) -> None:
    data = tmp_path / "data"
    add_encoder(make_settings(data), tiny_bundle)
    with spawned(data) as server, server.client() as client:
        body = {"name": "faq", "encoder": "tiny", "keep_queries": "unmatched"}
        client.post("/v1/collections", json=body).raise_for_status()
        client.post(f"{COLLECTION}:classify", json={"texts": [f"question {n}" for n in range(50)]}).raise_for_status()
        server.process.terminate()
        assert server.process.wait(20) == 0
    with spawned(data) as server, server.client() as client:
        kept = {item["text"] for item in everything(client, PLACE).values()}
    assert kept == {f"question {n}" for n in range(50)}
