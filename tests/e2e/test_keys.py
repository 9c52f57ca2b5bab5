"""`samesay keys` beside a running server and without one, what a server needs to be reachable, and kill -9."""

import re
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import add_encoder
from tests.fakes.keys import bearer
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import Spawned, samesay, spawned

KEY = re.compile(r"sms_[0-9a-f]{16}_[0-9a-f]{64}")


@pytest.fixture
def data(tmp_path: Path, tiny_bundle: Path) -> Path:
    add_encoder(make_settings(tmp_path / "data"), tiny_bundle)
    return tmp_path / "data"


def keys(data: Path, *arguments: str) -> str:
    """What the command prints."""
    done = samesay("keys", *arguments, "--data", str(data))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status(server: Spawned, key: str) -> int:
    return httpx.get(f"{server.url}/v1/api-keys", headers=bearer(key)).status_code


@pytest.mark.slow
def test_the_command_works_without_a_server_and_beside_one(data: Path, other_bundle: Path) -> None:
    refused = samesay("serve", "--host", "0.0.0.0", "--port", "0", "--data", str(data))
    assert refused.returncode == 1
    assert "samesay keys create" in refused.stderr
    useless = keys(data, "create", "bot", "--scope", "search", "--collection", "faq")
    refused = samesay("serve", "--host", "0.0.0.0", "--port", "0", "--data", str(data))
    assert refused.returncode == 1, "a key that administers nothing does not do"
    admin = keys(data, "create", "admin", "--scope", "admin", "--scope", "metrics", "--days", "30")
    assert KEY.fullmatch(admin)
    assert KEY.fullmatch(useless)
    with spawned(data, "--host", "0.0.0.0") as server:
        assert [status(server, key) for key in ("none", useless, admin)] == [401, 403, 200]
        second = keys(data, "create", "second", "--scope", "admin")
        wait_for(lambda: status(server, second) == 200, 5)
        rotated = keys(data, "rotate", second.split("_")[1], "--grace-s", "60")
        wait_for(lambda: status(server, rotated) == 200, 5)
        assert status(server, second) == 200
        keys(data, "revoke", second.split("_")[1])
        wait_for(lambda: status(server, rotated) == status(server, second) == 401, 5)
        added = samesay("encoders", "add", str(other_bundle), "--name", "other", "--data", str(data))
        assert added.returncode == 0, added.stderr
        listed = keys(data, "list")
        for said in ("admin", "metrics", "faq", "revoked", "good until", "never"):
            assert said in listed
        assert not KEY.search(listed)
        audit = httpx.get(f"{server.url}/v1/audit", headers=bearer(admin)).json()["items"]
        actions = ["add_encoder", "revoke_api_key", "rotate_api_key", *["create_api_key"] * 3]
        assert [entry["action"] for entry in audit] == actions
        assert audit[1]["target"] == second.split("_")[1]
        assert {entry["caller"] for entry in audit} == {"command line"}
        assert not any(KEY.search(line) or admin.split("_")[2] in line for line in server.stderr)
    early = samesay("keys", "create", "early", "--scope", "search", "--collection", "later", "--data", str(data))
    assert (early.returncode, "There is no collection later yet" in early.stderr) == (0, True)
    assert KEY.fullmatch(early.stdout.strip())
    assert "the first key" not in early.stderr
    first = samesay("keys", "create", "first", "--scope", "search", "--data", str(data.with_name("another")))
    assert "It is the first key: from now on a server on this data answers nobody without one." in first.stderr
    twice = samesay("keys", "create", "bot", "--scope", "search", "--data", str(data))
    assert (twice.returncode, "there is a key 'bot' already" in twice.stderr) == (1, True)
    unknown = samesay("keys", "revoke", "nothing", "--data", str(data))
    assert (unknown.returncode, "there is no key 'nothing'" in unknown.stderr) == (1, True)
    wrong = samesay("keys", "create", "x", "--scope", "admin", "--collection", "faq", "--data", str(data))
    assert (wrong.returncode, "is about no collection" in wrong.stderr) == (1, True)


@pytest.mark.slow
def test_a_key_that_was_shown_survives_kill_9(data: Path) -> None:
    """Killed while keys are made and rotated: each one that was shown is good, and is in the audit log."""
    shown: dict[str, str] = {}
    admin = keys(data, "create", "admin", "--scope", "admin")

    def make(url: str) -> None:
        with httpx.Client(base_url=url, headers=bearer(admin)) as client:
            for number in range(10_000):
                try:
                    body = {"name": f"n{number}", "scopes": ["admin"]}
                    made = client.post("/v1/api-keys", json=body).json()
                    shown[made["id"]] = made["key"]
                    if number % 2:
                        old = shown.pop(made["id"])  # while it is rotated, nobody can say which one is good
                        rotated = client.post(f"/v1/api-keys/{made['id']}:rotate", json={}).json()["key"]
                        shown[made["id"]] = rotated
                        assert rotated != old
                except httpx.TransportError:
                    return

    with spawned(data) as server:
        thread = threading.Thread(target=make, args=(server.url,))
        thread.start()
        wait_for(lambda: len(shown) >= 20)
        time.sleep(0.05)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
        thread.join(10)
    assert len(shown) >= 20
    with spawned(data) as server, httpx.Client(base_url=server.url) as client:
        statuses = {client.get("/v1/audit", headers=bearer(key)).status_code for key in shown.values()}
        assert statuses == {200}
        audited = client.get("/v1/audit?limit=1000", headers=bearer(admin)).json()["items"]
        assert shown.keys() <= {entry["target"] for entry in audited}, "and each is in the audit log"
