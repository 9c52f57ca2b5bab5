"""A disk without room: writes are refused with the remedy, searches go on, nothing acknowledged is lost."""

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from tests.conftest import add_encoder
from tests.fakes.problems import assert_problem
from tests.fakes.running import make_settings, running, wait_for
from tests.fakes.spawned import samesay, spawned

needs_prlimit = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason=f"{sys.platform} cannot limit the files of a running process"
)

UNLIMITED = resource.RLIM_INFINITY


def let_files_grow_to(process_id: int, n_bytes: int) -> None:
    """What a full disk does to the server, and what making room does: its files cannot grow past this size."""
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (n_bytes, UNLIMITED))


def put(client: httpx.Client, key: str) -> httpx.Response:
    return client.put(f"/v1/collections/faq/records/{key}", json={"text": f"sentence {key} " + "x" * 20_000})


def stored(client: httpx.Client) -> set[str]:
    return {item["id"] for item in client.get("/v1/collections/faq/records?limit=1000").json()["items"]}


@needs_prlimit
def test_writes_are_refused_until_there_is_room_and_nothing_is_lost(tmp_path: Path, tiny_bundle: Path) -> None:
    data = tmp_path / "data"
    add_encoder(make_settings(data), tiny_bundle)
    with spawned(data) as server:
        with server.client() as client:
            client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"})
            acknowledged = {f"before{n}" for n in range(5) if put(client, f"before{n}").status_code == 201}
            assert len(acknowledged) == 5
            let_files_grow_to(server.process.pid, 300_000)
            refused = fill_up(client, acknowledged)
            assert refused["status"] in (503, 507)
            assert "nothing was stored" in refused["detail"]
            assert "space" in refused["detail"]
            batch = {"upsert": [{"id": f"batch{n}", "text": "x" * 20_000} for n in range(20)]}
            assert client.post("/v1/collections/faq/records:batch", json=batch).status_code == refused["status"]
            assert client.post("/v1/collections", json={"name": "x" * 60, "encoder": "tiny"}).status_code in (
                201,  # a small write may still find room
                refused["status"],
            )
            assert stored(client) == acknowledged
            wait_for(lambda: found(client) == acknowledged)
            assert client.get("/readyz").status_code == 200
            let_files_grow_to(server.process.pid, UNLIMITED)
            assert put(client, "after").status_code == 201
            acknowledged.add("after")
            wait_for(lambda: found(client) == acknowledged)
        assert "Traceback" not in "".join(server.stderr)
    with spawned(data) as server, server.client() as client:  # it was killed: what was acknowledged is on the disk
        assert stored(client) == found(client) == acknowledged


def fill_up(client: httpx.Client, acknowledged: set[str]) -> dict[str, Any]:
    """Write until it is refused."""
    for number in range(200):
        answer = put(client, f"during{number}")
        if answer.status_code != 201:
            problem: dict[str, Any] = answer.json()
            return problem
        acknowledged.add(f"during{number}")
    raise AssertionError("there was room for everything")


def found(client: httpx.Client) -> set[str]:
    answer = client.post("/v1/collections/faq:search", json={"query": "sentence", "k": 1000})
    return {one["id"] for one in answer.json()["results"][0]}


@contextmanager
def on_every_checkout(act: Callable[..., None]) -> Iterator[None]:
    """Call this with each connection of any pool that is about to be used."""
    event.listen(Pool, "checkout", act)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", act)


def test_a_database_that_has_its_most_pages_refuses_writes(tmp_path: Path, tiny_bundle: Path) -> None:
    """SQLITE_FULL itself, which PRAGMA max_page_count brings about; it holds for one connection at a time."""
    settings = make_settings(tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    most = 2**30

    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={most}")

    with running(settings) as service, on_every_checkout(limit):
        client = service.client
        client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"})
        acknowledged = {f"before{n}" for n in range(5) if put(client, f"before{n}").status_code == 201}
        assert len(acknowledged) == 5
        most = 1  # no more than there are
        refused = fill_up(client, acknowledged)
        assert (refused["status"], refused["code"]) == (507, "storage_full")
        assert "nothing was stored" in refused["detail"]
        batch = {"upsert": [{"id": f"batch{n}", "text": "x" * 20_000} for n in range(20)], "delete": ["before0"]}
        again = client.post("/v1/collections/faq/records:batch", json=batch)
        assert "free some space" in assert_problem(again, 507, "storage_full")["detail"]
        assert stored(client) == acknowledged
        wait_for(lambda: found(client) == acknowledged)
        most = 2**30
        assert client.post("/v1/collections/faq/records:batch", json=batch).status_code == 200
        acknowledged = acknowledged - {"before0"} | {f"batch{n}" for n in range(20)}
        wait_for(lambda: found(client) == acknowledged)
        assert stored(client) == acknowledged
    with running(settings) as service:
        assert stored(service.client) == found(service.client) == acknowledged


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=20)


def test_a_file_system_without_room_refuses_writes_and_snapshots(small_disk: Path, tiny_bundle: Path) -> None:
    data, other = small_disk / "data", small_disk / "somebody else's"
    add_encoder(make_settings(data), tiny_bundle)
    with spawned(data) as server:
        with server.client() as client:
            client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"})
            acknowledged = {f"before{n}" for n in range(5) if put(client, f"before{n}").status_code == 201}
            fill_the_rest(other)
            refused = fill_up(client, acknowledged)
            assert refused["status"] in (503, 507)
            assert "nothing was stored" in refused["detail"]
            assert "space" in refused["detail"]
            assert stored(client) == acknowledged
            wait_for(lambda: found(client) == acknowledged)
        server.process.terminate()
        assert server.process.wait(20) == 0  # without a snapshot: there is no room for one
    assert "Traceback" not in "".join(server.stderr)
    other.unlink()
    with spawned(data) as server, server.client() as client:
        assert stored(client) == found(client) == acknowledged
        assert put(client, "after").status_code == 201
        wait_for(lambda: found(client) == acknowledged | {"after"})


def fill_the_rest(file: Path) -> None:
    """Take all the room that is left."""
    with file.open("wb", buffering=0) as opened:
        try:
            while opened.write(bytes(4096)):
                pass
        except OSError:
            return


@needs_prlimit
def test_an_encoder_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, tiny_bundle: Path) -> None:
    data = tmp_path / "data"
    assert samesay("db", "upgrade", "--data", str(data)).returncode == 0
    limit = (40_000, UNLIMITED)  # SQLite's shared memory has 32,768 bytes, encoder.onnx has more
    refused = samesay("encoders", "add", str(tiny_bundle), "--name", "tiny", "--data", str(data), file_size_limit=limit)
    assert (refused.returncode, "free space" in refused.stderr) == (1, True), refused.stderr
    assert "Traceback" not in refused.stderr
    assert list((data / "encoders").iterdir()) == []
