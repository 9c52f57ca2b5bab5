"""Three servers on one PostgreSQL database and one data folder: what one stores, all find."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import add_encoder, postgres_settings
from tests.fakes.running import wait_for
from tests.fakes.spawned import Spawned, spawned

N_REPLICAS = 3
PLACE = "/v1/collections/faq"
QUERIES = [f"sentence {n}" for n in range(0, 60, 7)]


@pytest.fixture
def environment(tmp_path: Path, tiny_bundle: Path, postgres: str) -> dict[str, str]:
    """What every replica is started with; polling alone would be too slow for these tests."""
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    assert settings.database_url is not None
    return {"SAMESAY_DATABASE_URL": settings.database_url.get_secret_value(), "SAMESAY_POLL_S": "30"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextlib.contextmanager
def replicas(data: Path, environment: dict[str, str], n: int = N_REPLICAS) -> Iterator[list[Spawned]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(spawned(data, **environment)) for _ in range(n)]


def visible(server: Spawned) -> int:
    return int(httpx.get(f"{server.url}{PLACE}").json()["visible_seq"])


def answers(server: Spawned) -> Any:
    found = httpx.post(f"{server.url}{PLACE}:search", json={"queries": QUERIES, "k": 10}).json()["results"]
    return [[(hit["id"], hit["text"], hit["group"]) for hit in hits] for hits in found]


def write(url: str, chance: random.Random, number: int) -> int:
    """Store or delete a few records; the last change."""
    upserts = [
        {"id": f"r{chance.randrange(300)}", "text": f"sentence {chance.randrange(60)} of {number}"} for _ in range(3)
    ]
    body = {"upsert": list({row["id"]: row for row in upserts}.values()), "delete": []}
    if chance.random() < 0.3:
        taken = {row["id"] for row in body["upsert"]}
        body["delete"] = [key for key in (f"r{chance.randrange(300)}",) if key not in taken]
    answer = httpx.post(f"{url}{PLACE}/records:batch", json=body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["seq"])


def test_what_one_replica_stores_all_of_them_find(data: Path, environment: dict[str, str]) -> None:
    chance = random.Random(5)
    with replicas(data, environment) as servers:
        httpx.post(f"{servers[0].url}/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        for server in servers:
            wait_for(lambda server=server: httpx.post(f"{server.url}{PLACE}:search", json={"query": "x"}).is_success)
        for round_ in range(20):
            last = 0
            for number in range(5):
                last = max(last, write(chance.choice(servers).url, chance, round_ * 5 + number))
            stored = time.monotonic()
            for server in servers:
                wait_for(lambda server=server, last=last: visible(server) >= last, 10)
            assert time.monotonic() - stored < 2, "announced, not polled for"
            first, *others = [answers(server) for server in servers]
            assert all(other == first for other in others)


def test_a_replica_that_was_killed_catches_up(data: Path, environment: dict[str, str]) -> None:
    chance = random.Random(6)
    with replicas(data, environment, 2) as servers:
        httpx.post(f"{servers[0].url}/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        with spawned(data, **environment) as third:
            write(servers[0].url, chance, 0)
            third.process.kill()
        last = [write(servers[number % 2].url, chance, number) for number in range(1, 60)][-1]
        with spawned(data, **environment) as third:
            assert visible(third) >= last, "ready only when it has caught up"
            assert answers(third) == answers(servers[0]) == answers(servers[1])


def test_what_one_replica_compacts_the_others_take_over(data: Path, environment: dict[str, str]) -> None:
    """While all of them write and search; each answer is of one moment, so that a record is never there twice."""
    stopped, wrong = threading.Event(), list[str]()

    def search(server: Spawned) -> None:
        with httpx.Client(base_url=server.url) as client:
            while not stopped.is_set():
                answer = client.post(f"{PLACE}:search", json={"query": "sentence 7", "k": 50})
                ids = [hit["id"] for hit in answer.json()["results"][0]] if answer.is_success else ["failed", "failed"]
                if len(set(ids)) != len(ids):
                    wrong.append(answer.text)

    chance = random.Random(7)
    with replicas(data, environment) as servers:
        httpx.post(f"{servers[0].url}/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        for server in servers:
            wait_for(lambda server=server: httpx.post(f"{server.url}{PLACE}:search", json={"query": "x"}).is_success)
        searchers = [threading.Thread(target=search, args=(server,)) for server in servers]
        for searcher in searchers:
            searcher.start()
        for number in range(40):
            last = write(servers[number % N_REPLICAS].url, chance, number)
            if number % 20 == 10:
                job = httpx.post(f"{servers[1].url}{PLACE}:compact").json()["id"]
                wait_for(lambda job=job: httpx.get(f"{servers[2].url}/v1/jobs/{job}").json()["state"] == "succeeded")
        wait_for(lambda: all(visible(server) >= last for server in servers))
        compacted = [lambda server=server: _base_of(server) > 0 for server in servers]
        wait_for(lambda: all(is_done() for is_done in compacted), 10)
        stopped.set()
        for searcher in searchers:
            searcher.join()
        assert wrong == []
        first, *others = [answers(server) for server in servers]
        assert all(other == first for other in others)


def _base_of(server: Spawned) -> int:
    return int(httpx.get(f"{server.url}{PLACE}").json()["index"]["snapshot_seq"])


def test_a_server_of_another_database_is_kept_out_of_the_folder(data: Path, environment: dict[str, str]) -> None:
    with replicas(data, environment, 1), pytest.raises(RuntimeError, match="is held by another server"), spawned(data):
        pass


def test_an_import_is_found_on_every_replica(data: Path, environment: dict[str, str]) -> None:
    with replicas(data, environment) as servers:
        httpx.post(f"{servers[0].url}/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        body = "".join(f'{{"id": "r{n}", "text": "sentence {n}"}}\n' for n in range(3000))
        headers = {"Content-Type": "application/x-ndjson"}
        job = httpx.post(f"{servers[1].url}{PLACE}/imports", content=body, headers=headers).json()["id"]
        wait_for(lambda: httpx.get(f"{servers[2].url}/v1/jobs/{job}").json()["state"] == "succeeded", 30)
        wait_for(lambda: all(visible(server) == 3000 for server in servers), 10)
        assert answers(servers[0]) == answers(servers[1]) == answers(servers[2])
        for server in servers:  # any of them has the results
            results = httpx.get(f"{server.url}/v1/jobs/{job}/results").text.splitlines()
            assert len(results) == 3000
