"""A disk that takes bytes but cannot make them durable: such a write is never acknowledged."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import add_encoder
from tests.fakes.problems import assert_problem
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import spawned

SOURCE = Path(__file__).parents[1] / "fakes" / "failing_fsync.c"
PLACE = "/v1/collections/faq"

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD and fdatasync are Linux's"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that lets fsync and fdatasync fail on demand."""
    made = tmp_path_factory.mktemp("library") / "failing_fsync.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl"], check=True, timeout=60)
    return made


def put(client: httpx.Client, key: str, text: str) -> httpx.Response:
    return client.put(f"{PLACE}/records/{key}", json={"text": text})


def stored(client: httpx.Client) -> dict[str, str]:
    return {item["id"]: item["text"] for item in client.get(f"{PLACE}/records?limit=1000").json()["items"]}


def found(client: httpx.Client) -> dict[str, str]:
    answer = client.post(f"{PLACE}:search", json={"query": "sentence", "k": 1000})
    return {one["id"]: one["text"] for one in answer.json()["results"][0]}


def test_what_cannot_be_made_durable_is_refused_and_reads_go_on(
    library: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    data, flag = tmp_path / "data", tmp_path / "fsync fails"
    add_encoder(make_settings(data), tiny_bundle)
    preloaded = {"LD_PRELOAD": str(library), "FSYNC_FAILS": str(flag)}
    with spawned(data, **preloaded) as server:
        with server.client() as client, ThreadPoolExecutor(8) as pool:
            client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
            known = {f"r{n}": f"sentence {n}" for n in range(20)}
            assert {put(client, key, text).status_code for key, text in known.items()} == {201}
            wait_for(lambda: found(client) == known)
            flag.touch()
            refused = [*pool.map(lambda n: put(client, f"r{n}", f"other sentence {n}"), range(10, 30))]
            refused.append(client.delete(f"{PLACE}/records/r0"))
            refused.append(client.post(f"{PLACE}/records:batch", json={"upsert": [{"id": "b", "text": "sentence"}]}))
            for answer in refused:
                assert "disk" in assert_problem(answer, 503, "storage_unavailable")["detail"]
            assert stored(client) == found(client) == known
            flag.unlink()
            assert put(client, "r1", "another sentence").status_code == 200
            assert put(client, "new", "new sentence").status_code == 201
            known |= {"r1": "another sentence", "new": "new sentence"}
            wait_for(lambda: found(client) == known)
            assert stored(client) == known
        assert "Traceback" not in "".join(server.stderr)
    with spawned(data) as server, server.client() as client:  # it was killed
        assert stored(client) == found(client) == known


def test_after_a_kill_what_was_refused_is_there_whole_or_not_at_all(
    library: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    """Its bytes did reach the file: SQLite may find them again, and the answer said that nobody knows."""
    data, flag = tmp_path / "data", tmp_path / "fsync fails"
    add_encoder(make_settings(data), tiny_bundle)
    with spawned(data, LD_PRELOAD=str(library), FSYNC_FAILS=str(flag)) as server, server.client() as client:
        client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        before = {f"r{n}": f"sentence {n}" for n in range(20)}
        body = {"upsert": [{"id": key, "text": text} for key, text in before.items()]}
        client.post(f"{PLACE}/records:batch?wait=visible", json=body).raise_for_status()
        flag.touch()
        after = {f"r{n}": f"other sentence {n}" for n in range(10, 40)}
        body = {"upsert": [{"id": key, "text": text} for key, text in after.items()], "delete": ["r0"]}
        problem = assert_problem(client.post(f"{PLACE}/records:batch", json=body), 503, "storage_unavailable")
        assert "may be stored or not" in problem["detail"]
        assert stored(client) == found(client) == before
        server.process.kill()
    whole = {key: text for key, text in {**before, **after}.items() if key != "r0"}
    with spawned(data) as server, server.client() as client:
        assert stored(client) in (before, whole)
        assert found(client) == stored(client)


def test_a_server_whose_disk_cannot_flush_from_the_start_acknowledges_nothing(
    library: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    data, flag = tmp_path / "data", tmp_path / "fsync fails"
    add_encoder(make_settings(data), tiny_bundle)
    with spawned(data) as server, server.client() as client:
        client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        put(client, "r1", "sentence").raise_for_status()
    flag.touch()
    with spawned(data, LD_PRELOAD=str(library), FSYNC_FAILS=str(flag)) as server, server.client() as client:
        assert_problem(put(client, "r2", "sentence"), 503, "storage_unavailable")
        assert stored(client) == found(client) == {"r1": "sentence"}
        server.process.terminate()
        assert server.process.wait(20) == 0
    assert "Traceback" not in "".join(server.stderr)
