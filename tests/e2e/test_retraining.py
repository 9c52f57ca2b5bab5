"""Retraining a real server with the real trainer: under load, killed anywhere, cancelled, and refused where worse."""

import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import samples
from model.contract.dataset import read_rows
from tests.conftest import add_encoder
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import Spawned, spawned

FAQ = Path(samples.__file__).parent / "faq.tsv"
PLACE = "/v1/collections/faq"
SMOKE = {
    "recipe": "smoke",
    "gate": {"alpha": 1e-300, "above_chance": False},  # what is tested here is not how good a training of seconds is
}
OVER = ("succeeded", "failed", "cancelled")
COPIES = int(os.environ.get("SAMESAY_RETRAINED_COPIES", "2"))
"""Of the sample FAQ, that are retrained under load; 16 are 20,000 records."""


def fill(server: Spawned, copies: int = 1) -> None:
    """The sample FAQ, its sentences repeated with another ending as often as wanted."""
    rows = read_rows(FAQ).rows
    with server.client() as client:
        client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        lines = [
            json.dumps({"id": f"r{n}-{copy}", "text": f"{row.text}{' ' + str(copy) * copy}", "group": row.group})
            for copy in range(copies)
            for n, row in enumerate(rows)
        ]
        headers = {"Content-Type": "application/x-ndjson"}
        answer = client.post(f"{PLACE}/imports", content="\n".join(lines).encode(), headers=headers)
        assert over(client, answer.json()["id"])["state"] == "succeeded"


def train(client: httpx.Client, **body: Any) -> str:
    answer = client.post(f"{PLACE}/trainings", json={**SMOKE, **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def job_of(client: httpx.Client, key: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/jobs/{key}").json()
    return found


def over(client: httpx.Client, key: str, timeout_s: float = 120) -> dict[str, Any]:
    wait_for(lambda: job_of(client, key)["state"] in OVER, timeout_s)
    return job_of(client, key)


def wait_until_it_trains(client: httpx.Client, key: str) -> None:
    def trains() -> bool:
        progress = job_of(client, key)["progress"]
        return bool(progress["stage"] == "training" and progress["done"] > 3)

    wait_for(trains, 60)


def children(server: Spawned) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def trainers(server: Spawned) -> list[psutil.Process]:
    return [child for child in children(server) if "model" in command_of(child)]


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return []


@pytest.fixture
def data(tmp_path: Path, tiny_bundle: Path) -> Path:
    add_encoder(make_settings(tmp_path / "data"), tiny_bundle)
    return tmp_path / "data"


class Load:
    """Searches and writes without a pause, and what was wrong with any answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.faults: list[str] = []
        self.releases: list[list[int]] = []  # of each thread that searches: which answered, one after the other
        self.n_searches = self.n_writes = 0

    def search(self) -> None:
        texts = [row.text for row in read_rows(FAQ).rows]
        rng, seen = random.Random(1), list[int]()
        self.releases.append(seen)
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                query = rng.choice(texts)
                answer = client.post(f"{PLACE}:search", json={"query": query, "k": 3})
                if answer.status_code != 200:
                    self.faults.append(f"search: {answer.status_code} {answer.text}")
                    continue
                found = answer.json()
                self.n_searches += 1
                if not seen or seen[-1] != found["release"]:
                    seen.append(found["release"])
                if found["results"][0][0]["score"] < 0.999:  # the very sentence is stored, by whatever encoder
                    self.faults.append(f"release {found['release']} does not find {query!r}")

    def write(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                key, text = f"w{self.n_writes}", f"written number {self.n_writes} 第{self.n_writes}句"
                put = client.put(f"{PLACE}/records/{key}", json={"text": text}, params={"wait": "visible"})
                if put.status_code not in (200, 201):
                    self.faults.append(f"write: {put.status_code} {put.text}")
                    continue
                self.n_writes += 1
                found = client.post(f"{PLACE}:search", json={"query": text, "k": 5}).json()
                if key not in [hit["id"] for hit in found["results"][0]]:
                    self.faults.append(f"release {found['release']} lost {key}, which was visible before")
                time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()


def test_retraining_swapping_and_rolling_back_under_load(data: Path) -> None:
    with spawned(data) as server, server.client() as client, ThreadPoolExecutor(3) as threads:
        fill(server, copies=COPIES)
        load = Load(server.url)
        running = [threads.submit(load.search), threads.submit(load.search), threads.submit(load.write)]
        try:
            job = over(client, train(client), 600)
            assert (job["state"], job["error"]) == ("succeeded", None)
            wait_for(lambda: all(seen[-1] == 2 for seen in load.releases))
            written = load.n_writes
            began = time.monotonic()
            rolled_back = client.post(f"{PLACE}/releases/2:rollback", json={"why": "test"})
            assert (rolled_back.status_code, rolled_back.json()["answers"]) == (200, True)
            took_s = time.monotonic() - began
            wait_for(lambda: load.n_writes > written + 20)
            assert client.post(f"{PLACE}/releases/2:promote").json()["answers"]
            wait_for(lambda: load.n_writes > written + 40)
        finally:
            load.stop()
        for thread in running:
            thread.result()
        assert load.faults == []
        assert load.releases == [[1, 2, 1, 2]] * 2
        assert load.n_searches > 100
        assert load.n_writes > 40
        assert took_s < 3
        last = client.get(PLACE).json()
        assert last["visible_seq"] == last["last_seq"]


def test_killed_in_every_stage_it_goes_on(data: Path) -> None:
    """The server with all its children, in each stage in turn: one job, from its order to the release that answers."""
    stages, key = ["checking", "training", "judging"], ""
    with spawned(data) as server:
        fill(server)
        with server.client() as client:
            key = train(client, settings={"epochs": 6})
            kill_in(server, client, key, stages[0])
    for stage in stages[1:]:
        with spawned(data) as server, server.client() as client:
            kill_in(server, client, key, stage)
    with spawned(data) as server, server.client() as client:
        job = over(client, key)
        assert (job["state"], job["error"]) == ("succeeded", None)
        assert job["attempts"] == 4
        wait_for(lambda: client.post(f"{PLACE}:search", json={"query": "x"}).json()["release"] == 2, 10)
        assert [release["number"] for release in client.get(f"{PLACE}/releases").json()["items"]] == [1, 2]
    assert not (data / "jobs" / key).exists()


def kill_in(server: Spawned, client: httpx.Client, key: str, stage: str) -> None:
    def is_there() -> bool:
        job = job_of(client, key)
        assert job["state"] in ("queued", "running"), f"it was over before it was seen {stage}: {job}"
        return job["progress"]["stage"] == stage and bool(trainers(server))

    wait_for(is_there, 60)
    for process in (psutil.Process(server.process.pid), *children(server)):
        process.kill()


def test_the_worker_alone_and_the_trainer_alone_are_killed(data: Path) -> None:
    with spawned(data) as server, server.client() as client:
        fill(server)
        key = train(client, settings={"epochs": 6})
        wait_until_it_trains(client, key)
        first = trainers(server)
        first[0].kill()
        wait_for(lambda: any(process.pid != first[0].pid for process in trainers(server)), 30)
        wait_for(lambda: job_of(client, key)["progress"]["stage"] == "training", 30)
        second = trainers(server)
        next(child for child in children(server) if {"worker", "releases"} <= {*command_of(child)}).kill()
        psutil.wait_procs(second, 10)
        assert not any(trainer.is_running() for trainer in second), "a trainer must not outlive its worker"
        job = over(client, key)
        assert (job["state"], job["error"], job["attempts"]) == ("succeeded", None, 2)


def test_cancelling_stops_a_training_within_seconds(data: Path) -> None:
    with spawned(data) as server, server.client() as client:
        fill(server)
        key = train(client, settings={"epochs": 500})
        wait_until_it_trains(client, key)
        noted = job_of(client, key)["progress"]
        assert (noted["stage"], noted["unit"]) == ("training", "steps")
        assert noted["note"]["loss"] > 0
        assert noted["note"]["epoch"] >= 1
        began = time.monotonic()
        client.delete(f"/v1/jobs/{key}")
        assert over(client, key)["state"] == "cancelled"
        assert time.monotonic() - began < 10
        assert trainers(server) == []
        assert not (data / "jobs" / key).exists()
        assert [release["number"] for release in client.get(f"{PLACE}/releases").json()["items"]] == [1]


def test_settings_that_these_records_cannot_have_are_said_and_change_nothing(data: Path) -> None:
    with spawned(data) as server, server.client() as client:
        fill(server)
        job = over(client, train(client, settings={"objective": "multi_label"}))
        assert (job["state"], job["error"]["code"]) == ("failed", "training_failed")
        assert "no column labels" in job["error"]["detail"]
        assert client.post(f"{PLACE}:search", json={"query": "x"}).json()["release"] == 1
