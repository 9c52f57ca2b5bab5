"""`samesay serve` as its users meet it: a process, a socket, signals."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from app.db.migrating import head
from tests.conftest import add_encoder, postgres_settings
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import samesay, spawned

IDLE_BYTES = 250 * 2**20


@pytest.fixture
def data(tmp_path: Path, tiny_bundle: Path) -> Path:
    add_encoder(make_settings(tmp_path / "data"), tiny_bundle)
    return tmp_path / "data"


def test_it_serves_without_torch_in_little_memory_and_drains_on_sigterm(data: Path) -> None:
    with spawned(data) as server, server.client() as client:
        assert client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).status_code == 201
        client.put("/v1/collections/faq/records/r1?wait=visible", json={"text": "my money"})
        found = client.post("/v1/collections/faq:search", json={"query": "money"}).json()
        assert found["results"][0][0]["id"] == "r1"
        maps = Path(f"/proc/{server.process.pid}/maps")
        if maps.exists():
            loaded = maps.read_text()
            assert "onnxruntime" in loaded
            assert "/torch/" not in loaded
            assert "libtorch" not in loaded
        assert server.memory.memory_info().rss < IDLE_BYTES
        answers: list[int] = []

        def ask() -> None:
            body = {"queries": ["a question of some length, asked again and again"] * 256}
            answers.append(client.post("/v1/collections/faq:search", json=body).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        server.process.send_signal(signal.SIGTERM)
        asking.join(20)
        assert server.process.wait(20) == 0
        assert answers in ([200], [])  # answered, or refused at the door: never broken off half-way
        log = "".join(server.stderr)
        assert "Traceback" not in log
        (ready,) = [line for line in log.splitlines() if "server_ready" in line]
        assert "cpu" in ready
        (loaded_line,) = [line for line in log.splitlines() if "release_loaded" in line]
        assert "CPUExecutionProvider" in loaded_line


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_NOFILE"), reason=f"{sys.platform} tells no limits of a process")
def test_many_collections_may_have_their_files_open(data: Path) -> None:
    """Shells begin with 1,024 files, which are those of some 120 snapshots."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    try:
        with spawned(data) as server:
            allowed = server.memory.rlimit(psutil.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
    assert allowed == (min(65_536, hard), hard)


def test_an_upload_that_a_stopping_server_breaks_off_is_told_to_come_again(data: Path) -> None:
    with spawned(data, SAMESAY_DRAIN_S="0.3") as server, server.client() as client:
        assert client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).status_code == 201
        with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0), timeout=20) as connection:
            head = b"POST /v1/collections/faq/imports HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
            head += b"Content-Type: application/x-ndjson\r\n\r\n"
            connection.sendall(head + b'{"text": "one of many"}\n' * 9000)
            wait_for(lambda: list(data.glob("jobs/*/*")))  # it is being received
            server.process.send_signal(signal.SIGTERM)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        assert server.process.wait(20) == 0
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"application/problem+json" in answer
        assert b"retry-after" in answer.lower()
        assert b"the server is stopping" in answer
    assert [line for line in server.stderr if "request_broken_off" in line and "/imports" in line]
    assert not [line for line in server.stderr if "Traceback" in line or "Exception in ASGI" in line]


@pytest.mark.parametrize("command", ["serving.serve", "working.worker"])
def test_sigterm_is_heard_while_it_starts(command: str) -> None:
    """Also by the first process of a container, on which a signal that nobody handles does nothing."""
    program = f"""
import os, signal, time
from app.commands import serving, working
def tell(**_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
    print("deaf")
serving.load_settings = working.load_settings = tell
{command}()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("wanted", ["", "3"])
def test_libraries_are_kept_from_threads_of_their_own_before_they_are_loaded(wanted: str) -> None:
    program = """
import os, sys
from app.commands import serving
def show(**_):
    print(os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"], "numpy" in sys.modules)
    raise SystemExit
serving.load_settings = show
serving.serve()
"""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    if wanted:
        environment["OPENBLAS_NUM_THREADS"] = wanted
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert shown.stdout.split() == [wanted or "1", "1", "False"], shown.stderr


def test_a_second_server_is_refused_and_told_who_has_the_folder(data: Path) -> None:
    with spawned(data) as server:
        second = samesay("serve", "--port", "0", "--data", str(data))
        assert second.returncode == 1
        assert f"pid {server.process.pid}" in second.stderr
        assert "Traceback" not in second.stderr
    with spawned(data):
        pass  # the lock died with the process


def test_a_busy_port_is_named(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = samesay("serve", "--port", str(port), "--data", str(data))
    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr
    assert "--port" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_beyond_loopback_it_wants_a_key(data: Path) -> None:
    refused = samesay("serve", "--host", "0.0.0.0", "--port", "0", "--data", str(data))
    assert refused.returncode == 1
    assert "SAMESAY_API_KEY" in refused.stderr
    with spawned(data, "--host", "0.0.0.0", SAMESAY_API_KEY="a good long key") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/info").status_code == 401
        assert httpx.get(f"{url}/v1/info", headers={"Authorization": "Bearer a good long key"}).status_code == 200


def test_an_encoder_is_added_while_the_server_runs(data: Path, other_bundle: Path, tiny_bundle: Path) -> None:
    with spawned(data) as server, server.client() as client:
        added = samesay("encoders", "add", str(other_bundle), "--name", "other", "--data", str(data))
        assert added.returncode == 0, added.stderr
        assert client.post("/v1/collections", json={"name": "faq", "encoder": "other"}).status_code == 201
        written = client.put("/v1/collections/faq/records/r1?wait=visible", json={"text": "a"})
        assert written.json()["visible"] is True
        again = samesay("encoders", "add", str(other_bundle), "--name", "other", "--data", str(data))
        assert again.returncode == 0
        taken = samesay("encoders", "add", str(tiny_bundle), "--name", "other", "--data", str(data))
        assert (taken.returncode, "belongs to encoder" in taken.stderr) == (1, True)


def test_a_bad_bundle_is_refused_with_its_reason(data: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    missing = samesay("encoders", "add", str(tmp_path), "--name", "x", "--data", str(data))
    assert (missing.returncode, "holds no bundle" in missing.stderr) == (1, True)
    tampered = tmp_path / "tampered"
    tampered.mkdir()
    for file in tiny_bundle.iterdir():
        (tampered / file.name).write_bytes(file.read_bytes())
    (tampered / "encoder.onnx").write_bytes((tiny_bundle / "encoder.onnx").read_bytes() + b"x")
    refused = samesay("encoders", "add", str(tampered), "--name", "x", "--data", str(data))
    assert (refused.returncode, "was altered" in refused.stderr) == (1, True)
    assert "Traceback" not in missing.stderr + refused.stderr


def test_an_unusable_setting_or_folder_is_named(tmp_path: Path) -> None:
    refused = samesay("serve", "--data", str(tmp_path), SAMESAY_PORT="many")
    assert (refused.returncode, "SAMESAY_PORT" in refused.stderr) == (1, True)
    refused = samesay("serve", "--data", str(tmp_path), SAMESAY_INDEX_DEVICE="cuda")
    assert (refused.returncode, "SAMESAY_INDEX_DEVICE" in refused.stderr) == (1, True)
    refused = samesay("serve", "--data", str(tmp_path), SAMESAY_DATABASE_URL="postgresql://host:port/name")
    assert (refused.returncode, "SAMESAY_DATABASE_URL is no database URL" in refused.stderr) == (1, True)
    file = tmp_path / "file"
    file.write_text("not a folder")
    refused = samesay("serve", "--port", "0", "--data", str(file / "data"))
    assert (refused.returncode, "cannot be used as data folder" in refused.stderr) == (1, True)
    assert "Traceback" not in refused.stderr


def test_no_child_is_left_behind(data: Path) -> None:
    with spawned(data) as server:
        assert psutil.Process(server.process.pid).children() == []


def test_postgres_is_upgraded_by_hand_and_then_served(postgres: str, tmp_path: Path, tiny_bundle: Path) -> None:
    settings = postgres_settings(postgres, tmp_path / "data")
    assert settings.database_url is not None
    environment = {"SAMESAY_DATABASE_URL": settings.database_url.get_secret_value(), "SAMESAY_DATA": str(settings.data)}
    refused = samesay("serve", "--port", "0", **environment)
    assert (refused.returncode, "run `samesay db upgrade`" in refused.stderr) == (1, True)
    assert samesay("db", "upgrade", **environment).stdout == f"postgresql is at schema {head()}\n"
    added = samesay("encoders", "add", str(tiny_bundle), "--name", "tiny", **environment)
    assert added.returncode == 0, added.stderr
    with spawned(settings.data, **environment) as server, server.client() as client:
        client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"})
        written = client.put("/v1/collections/faq/records/r1?wait=visible", json={"text": "money"})
        assert written.json()["visible"] is True
        assert client.get("/v1/info").json()["database"] == "postgresql"


def test_a_database_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    away = samesay(
        "serve", "--port", "0", "--data", str(tmp_path), SAMESAY_DATABASE_URL="postgresql://nobody@127.0.0.1:9/x"
    )
    assert (away.returncode, "cannot be reached" in away.stderr) == (1, True)
    assert "Connection refused" in away.stderr and away.stderr.count("\n") == 1, away.stderr
    url = "postgresql://nobody@127.0.0.1:9/x?ssl=true"
    unknown = samesay("db", "upgrade", "--data", str(tmp_path), SAMESAY_DATABASE_URL=url)
    assert (unknown.returncode, 'option "ssl"; start it, or correct the URL' in unknown.stderr) == (1, True)
    assert unknown.stderr.count("\n") == 1, unknown.stderr
    (tmp_path / "samesay.db").write_bytes(b"this is no database, whatever its name says" * 100)
    damaged = samesay("serve", "--port", "0", "--data", str(tmp_path))
    assert (damaged.returncode, "no SQLite file" in damaged.stderr) == (1, True), damaged.stderr
    assert "Traceback" not in away.stderr + damaged.stderr
