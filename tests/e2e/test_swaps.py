"""A hundred swaps under load: every answer is of one release, and memory, threads and file descriptors stay flat."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from model.contract.bundle import load_bundle
from tests.conftest import add_encoder
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import Spawned, spawned

SWAPS = 100
N = 2000
PLACE = "/v1/collections/faq"
TEXTS = {f"r{n}": f"sentence number {n} of {n % 7} and {n % 13}" for n in range(N)}
QUERIES = [f"number {n} and {n % 5}" for n in range(0, N, 97)]


@pytest.fixture
def server(tmp_path: Path, tiny_bundle: Path, other_bundle: Path) -> Iterator[Spawned]:
    """A server with two releases of other encoders at hand, the second one active."""
    settings = make_settings(tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    add_encoder(settings, other_bundle, "other")
    with spawned(settings.data) as started, started.client() as client:
        client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        records = [{"id": key, "text": text, "group": f"g{n % 50}"} for n, (key, text) in enumerate(TEXTS.items())]
        for start in range(0, N, 1000):
            body = {"upsert": records[start : start + 1000]}
            client.post(f"{PLACE}/records:batch", json=body, params={"wait": "visible"}).raise_for_status()
        gate = {"alpha": 1e-300, "above_chance": False}
        job = client.post(f"{PLACE}/releases", json={"encoder": "other", "gate": gate}).json()["id"]
        wait_for(lambda: client.get(f"/v1/jobs/{job}").json()["state"] not in ("queued", "running"), 90)
        assert client.get(f"/v1/jobs/{job}").json()["error"] is None
        yield started


def nearest(bundle: Path) -> list[str]:
    """The nearest record of each query, by the bundle alone."""
    encoder = load_bundle(bundle).encoder
    scores = encoder.encode(QUERIES) @ encoder.encode(list(TEXTS.values())).T
    return [list(TEXTS)[at] for at in np.argmax(scores, axis=1)]


@pytest.mark.slow
def test_a_hundred_swaps(server: Spawned, tiny_bundle: Path, other_bundle: Path) -> None:
    expected = {1: nearest(tiny_bundle), 2: nearest(other_bundle)}
    stop, faults, seen = threading.Event(), list[str](), set[int]()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not stop.is_set():
                answer = client.post(f"{PLACE}:search", json={"queries": QUERIES, "k": 1})
                if answer.status_code != 200:
                    faults.append(answer.text)
                    return
                found = answer.json()
                seen.add(found["release"])
                if [result[0]["id"] for result in found["results"]] != expected[found["release"]]:
                    faults.append(f"an answer of release {found['release']} is not all of that release")

    process = psutil.Process(server.process.pid)
    with ThreadPoolExecutor(2) as threads, server.client() as client:
        running = [threads.submit(ask) for _ in range(2)]
        try:
            for swap in range(SWAPS):
                verb = "rollback" if swap % 2 == 0 else "promote"
                answer = client.post(f"{PLACE}/releases/2:{verb}")
                assert answer.status_code == 200, answer.text
                assert answer.json()["answers"]
                if swap == SWAPS // 4:
                    before = process.memory_info().rss, process.num_threads(), process.num_fds()
            after = process.memory_info().rss, process.num_threads(), process.num_fds()
        finally:
            stop.set()
        for thread in running:
            thread.result()
    assert faults == []
    assert seen == {1, 2}
    assert after[0] - before[0] < 16 * 2**20, "three quarters of the swaps took memory"
    assert after[1] <= before[1] + 2
    assert after[2] <= before[2] + 4
