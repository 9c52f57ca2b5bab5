"""An import that is killed at any moment: each row is stored once, none is lost, and it goes on by itself.

SAMESAY_CRASH_ROUNDS is how often it is killed, SAMESAY_CRASH_SEED repeats when.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.priority import BACKGROUND
from tests.conftest import add_encoder, postgres_settings
from tests.fakes.imports import n_stored
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import Spawned, command, samesay, spawned

ROUNDS = int(os.environ.get("SAMESAY_CRASH_ROUNDS", "3"))
SEED = int(os.environ.get("SAMESAY_CRASH_SEED", random.randrange(10**6)))

N_ROWS = 60_000
PLACE = "/v1/collections/faq"


def rows() -> list[dict[str, str]]:
    """Every tenth id comes twice, with another text the second time: a row that is stored again would show."""
    first = [{"id": f"r{n}", "text": f"sentence {n}", "group": f"g{n % 50}"} for n in range(N_ROWS)]
    return first + [{**row, "text": row["text"] + " again"} for row in first[::10]]


def expected() -> dict[str, str]:
    return {row["id"]: row["text"] for row in rows()}


def start(server: Spawned) -> str:
    with server.client() as client:
        client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows())
        answer = client.post(f"{PLACE}/imports", content=body, headers={"Content-Type": "application/x-ndjson"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


def job_of(client: httpx.Client, key: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/jobs/{key}").json()
    return found


def stored_rows(client: httpx.Client, key: str) -> int:
    """Rows done with so far; all of them once the job indexes."""
    job = job_of(client, key)
    return len(rows()) if job["progress"]["stage"] == "indexing" else n_stored(job)


def goes_on(client: httpx.Client, key: str, before: int) -> float:
    """Seconds until more rows are stored than before."""
    began = time.monotonic()
    wait_for(lambda: stored_rows(client, key) > before or before == len(rows()), 60)
    return time.monotonic() - began


def children(server: Spawned) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def check(client: httpx.Client, key: str) -> None:
    wait_for(lambda: job_of(client, key)["state"] not in ("queued", "running"), 120)
    job = job_of(client, key)
    assert job["state"] == "succeeded", job
    counts = {code: job["result"][code] for code in ("created", "updated", "unchanged", "rejected")}
    assert counts == {"created": N_ROWS, "updated": N_ROWS // 10, "unchanged": 0, "rejected": 0}
    collection = client.get(PLACE).json()
    assert (collection["records"], collection["last_seq"]) == (N_ROWS, N_ROWS + N_ROWS // 10), "each row once"
    assert collection["visible_seq"] == collection["last_seq"]
    told = [json.loads(line) for line in client.get(f"/v1/jobs/{key}/results").text.splitlines()]
    assert [row["line"] for row in told] == list(range(1, len(rows()) + 1))
    found, cursor = {}, None
    while True:
        page = client.get(f"{PLACE}/records", params={"limit": 1000} | ({"cursor": cursor} if cursor else {})).json()
        found |= {record["id"]: record["text"] for record in page["items"]}
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == expected()


def test_a_killed_server_goes_on_with_its_import(tmp_path: Path, tiny_bundle: Path) -> None:
    rng, data, key = random.Random(SEED), tmp_path / "data", ""
    add_encoder(make_settings(data), tiny_bundle)
    for kill in range(ROUNDS + 1):
        with spawned(data) as server, server.client() as client:
            if kill == 0:
                key = start(server)
            before = stored_rows(client, key)
            if kill < ROUNDS:
                took = goes_on(client, key, before)
                assert kill == 0 or took < 10, f"round {kill} of seed {SEED}"  # a lease; at first nothing was killed
                time.sleep(rng.uniform(0, 0.4))
                for process in (psutil.Process(server.process.pid), *children(server)):
                    process.kill()
            else:
                check(client, key)
                assert job_of(client, key)["attempts"] >= 2


def test_a_killed_worker_is_replaced_at_once(tmp_path: Path, tiny_bundle: Path) -> None:
    data = tmp_path / "data"
    add_encoder(make_settings(data), tiny_bundle)
    with spawned(data) as server, server.client() as client:
        key = start(server)
        for _ in range(2):
            goes_on(client, key, stored_rows(client, key))
            workers = [child for child in children(server) if "worker" in child.cmdline()]
            assert len(workers) == 1
            workers[0].kill()
        check(client, key)
        assert job_of(client, key)["attempts"] == 3


def test_a_worker_without_its_server_ends(tmp_path: Path, tiny_bundle: Path) -> None:
    data = tmp_path / "data"
    add_encoder(make_settings(data), tiny_bundle)
    with spawned(data) as server, server.client() as client:
        key = start(server)
        wait_for(lambda: stored_rows(client, key) > 0)
        (worker,) = [child for child in children(server) if "worker" in child.cmdline()]
        if sys.platform == "linux":
            assert {os.getpriority(os.PRIO_PROCESS, thread.id) for thread in worker.threads()} == {BACKGROUND}
        server.process.kill()
        worker.wait(10)
    with spawned(data) as server, server.client() as client:
        check(client, key)


@pytest.mark.slow
def test_another_worker_takes_a_dead_one_s_job_over(tmp_path: Path, tiny_bundle: Path, postgres: str) -> None:
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    assert settings.database_url is not None
    environment = {"SAMESAY_DATABASE_URL": settings.database_url.get_secret_value(), "SAMESAY_WORKERS": "0"}
    with (
        spawned(settings.data, **environment) as server,
        server.client() as client,
        apart(settings.data, environment) as workers,
    ):
        key = start(server)
        wait_for(lambda: stored_rows(client, key) > 0)
        assert not children(server), "all workers are apart"
        owner = owner_of(settings.database_url.get_secret_value(), key)
        (dead,) = [worker for worker in workers if f":{worker.pid}:" in owner]
        dead.kill()
        assert goes_on(client, key, stored_rows(client, key)) < 30
        check(client, key)
        assert job_of(client, key)["attempts"] == 2


def test_a_worker_refuses_a_folder_that_is_not_the_servers(tmp_path: Path, tiny_bundle: Path) -> None:
    add_encoder(make_settings(tmp_path / "data"), tiny_bundle)
    refused = samesay("worker", "--data", str(tmp_path / "data"))
    assert (refused.returncode, "start a server first" in refused.stderr) == (1, True), refused.stderr


@contextmanager
def apart(data: Path, environment: dict[str, str]) -> Iterator[list[psutil.Popen]]:
    """Two workers beside the server."""
    workers = [
        psutil.Popen(command("worker", "--data", str(data)), env={**os.environ, **environment}) for _ in range(2)
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(10)


def owner_of(url: str, key: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT worker FROM jobs WHERE key = %s", (key,)).fetchone()
    assert row is not None
    return str(row[0])
