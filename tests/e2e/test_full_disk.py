"""A disk without room: writes are refused with the remedy, searches go on, nothing acknowledged is lost."""

import resource
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import add_encoder
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import samesay, spawned

pytestmark = pytest.mark.skipif(
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


def test_an_encoder_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, tiny_bundle: Path) -> None:
    data = tmp_path / "data"
    assert samesay("db", "upgrade", "--data", str(data)).returncode == 0
    limit = (40_000, UNLIMITED)  # SQLite's shared memory has 32,768 bytes, encoder.onnx has more
    refused = samesay("encoders", "add", str(tiny_bundle), "--name", "tiny", "--data", str(data), file_size_limit=limit)
    assert (refused.returncode, "free space" in refused.stderr) == (1, True), refused.stderr
    assert "Traceback" not in refused.stderr
    assert list((data / "encoders").iterdir()) == []
