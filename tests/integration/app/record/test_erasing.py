"""Erase-now: afterwards no file of the data folder holds a byte of the record."""

import json
import os
import random
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from app import container as wiring
from app.db import postgres as db_postgres
from app.encoder.store import EncoderStore
from app.encoding.bulk import encode_many
from app.record import erasing
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.repository import list_wanted
from app.settings import Settings
from tests.conftest import add_encoder, make_collection, postgres_settings
from tests.fakes.live_rows import live_rows
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, running, wait_for

SECRET = "zanzibar quicksilver"


def files_with(data: Path, secret: bytes) -> list[str]:
    """The files that hold these bytes; folders of snapshots come and go meanwhile."""
    found = []
    for folder, _, names in os.walk(data):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                if secret in path.read_bytes():
                    found.append(str(path.relative_to(data)))
    return found


def upsert(service: Running, name: str, upserts: list[dict[str, object]], **headers: str) -> None:
    url = f"/v1/collections/{name}/records:batch?wait=visible"
    answer = service.client.post(url, json={"upsert": upserts}, headers=headers)
    assert answer.status_code == 200, answer.text


def sentence(number: int, chance: random.Random) -> str:
    return f"sentence {number} " + "x" * chance.choice([1, 30, 300, 6000])  # some longer than a page


def erase(service: Running, name: str, *ids: str) -> dict[str, object]:
    answer = service.client.post(f"/v1/collections/{name}/records:erase", json={"ids": ids})
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_no_file_holds_an_erased_record(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored, changed, compacted, deleted: in the database, its log, two snapshots and a kept answer."""
    monkeypatch.setattr("app.serving.housekeeper.is_worth_compacting", lambda changes, base, is_remote: changes > 0)
    monkeypatch.setattr(wiring, "Housekeeper", partial(Housekeeper, quiet_s=0.0))
    chance = random.Random(5)
    with running(sqlite) as service:
        name = make_collection(service)
        upsert(service, name, [{"id": f"r{n}", "text": sentence(n, chance)} for n in range(300)])
        (release,) = service.container.serving.releases
        person = {
            "id": "mary-id",
            "text": f"{SECRET} one",
            "metadata": {"mail": "mary@example"},
            "labels": ["mary-tag"],
        }
        gone = {"id": "john-id", "text": f"{SECRET} john " + "y" * 9000}
        upsert(service, name, [person, gone], **{"Idempotency-Key": "k1"})
        wait_for(lambda: release.view.n_changes == 0)
        upsert(service, name, [{**person, "text": f"{SECRET} two"}])
        service.client.delete(f"/v1/collections/{name}/records/john-id?wait=visible")
        upsert(service, name, [{"id": f"r{n}", "text": sentence(n, chance)} for n in range(100, 400)])
        secrets = [SECRET.encode(), b"mary-id", b"mary@example", b"mary-tag", b"john-id"]
        vector = release.bundle.encoder.encode([f"{SECRET} two"])[0].tobytes()
        assert all(files_with(sqlite.data, secret) for secret in secrets), "else this proves nothing"
        wait_for(lambda: release.view.n_changes == 0)
        assert files_with(sqlite.data, vector)

        answer = erase(service, name, "mary-id", "john-id", "never-there")
        assert (answer["erased"], answer["missing"]) == (["mary-id"], ["john-id", "never-there"])
        assert {secret: files_with(sqlite.data, secret) for secret in [*secrets, vector]} == {
            secret: [] for secret in [*secrets, vector]
        }
        found = service.client.post(f"/v1/collections/{name}:search", json={"query": SECRET, "k": 1000}).json()
        assert {one["id"] for one in found["results"][0]} == {f"r{n}" for n in range(400)}


def test_the_last_record_can_be_erased(sqlite: Settings) -> None:
    with running(sqlite) as service:
        name = make_collection(service)
        upsert(service, name, [{"id": "only", "text": SECRET}])
        assert erase(service, name, "only")["erased"] == ["only"]
        assert files_with(sqlite.data, SECRET.encode()) == []
        upsert(service, name, [{"id": "next", "text": "another"}])
    with running(sqlite) as service:
        found = service.client.post(f"/v1/collections/{name}:search", json={"query": SECRET}).json()
        assert [one["id"] for one in found["results"][0]] == ["next"]


def test_what_cannot_be_erased_yet_says_so(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(sqlite) as service:
        name = make_collection(service)
        upsert(service, name, [{"id": "a", "text": SECRET}, {"id": "b", "text": "other"}])
        with monkeypatch.context() as patch:

            def full(*_: object, **__: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr("app.serving.snapshots.building.save_snapshot", full)
            refused = service.client.post(f"/v1/collections/{name}/records:erase", json={"ids": ["a"]})
            problem = assert_problem(refused, 503, "not_erased_yet")
            assert "repeat the request" in problem["detail"]
        assert service.client.get(f"/v1/collections/{name}/records/a").status_code == 404
        assert erase(service, name, "a")["missing"] == ["a"]
        assert files_with(sqlite.data, SECRET.encode()) == []


def test_what_another_server_removes_meanwhile_keeps_nothing_from_being_erased(
    sqlite: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    remove = shutil.rmtree

    def be_late(folder: Path, *rest: Any, **options: Any) -> None:
        if Path(folder).name in ("998", "999"):
            removed.append(Path(folder).name)
            remove(folder)  # the other server
            if Path(folder).name == "999":
                raise OSError(16, "Device or resource busy")
        remove(folder, *rest, **options)

    with running(sqlite) as service:
        name = make_collection(service)
        upsert(service, name, [{"id": "a", "text": SECRET}, {"id": "b", "text": "other"}])
        erase(service, name, "b")
        (releases,) = sqlite.data.glob("collections/*/releases")
        monkeypatch.setattr(shutil, "rmtree", be_late)
        (releases / "998").mkdir()
        assert erase(service, name, "a")["erased"] == ["a"]
        (releases / "999").mkdir()
        refused = service.client.post(f"/v1/collections/{name}/records:erase", json={"ids": ["a"]})
        assert_problem(refused, 503, "not_erased_yet")
    assert removed == ["998", "999"]


def test_erasing_lets_a_rebuild_come_to_its_end(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes may hold the records, so that erasing is not done before; and is not removed under it."""
    entered, may_end = threading.Event(), threading.Event()

    def slow(*rest: Any, **options: Any) -> Any:
        entered.set()
        assert may_end.wait(20)
        return encode_many(*rest, **options)

    with running(sqlite) as service:
        name = make_collection(service)
        upsert(service, name, [{"id": f"r{n}", "text": f"{SECRET} {n}"} for n in range(30)])
        monkeypatch.setattr("app.serving.loading.encode_many", slow)
        monkeypatch.setattr(erasing, "_BUILT_S", 0.3)
        job = service.client.post(f"/v1/collections/{name}:rebuild").json()["id"]
        assert entered.wait(10)
        (spool,) = sqlite.data.glob("collections/*/releases/*/snapshots/.tmp-*/.tmp-*")
        refused = service.client.post(f"/v1/collections/{name}/records:erase", json={"ids": ["r7"]})
        assert "an index is being built" in assert_problem(refused, 503, "not_erased_yet")["detail"]
        assert spool.exists()
        may_end.set()
        wait_until_over(service, job)
        assert service.client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded"
        assert erase(service, name, *(f"r{n}" for n in range(30)))["erased"] == [f"r{n}" for n in range(30) if n != 7]
        assert files_with(sqlite.data, SECRET.encode()) == []


def test_erasing_in_postgresql_leaves_no_snapshot_behind(postgres: str, tmp_path: Path, tiny_bundle: Path) -> None:
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        name = make_collection(service)
        upsert(service, name, [{"id": "a", "text": SECRET}, {"id": "b", "text": "other"}])
        assert erase(service, name, "a")["erased"] == ["a"]
        assert files_with(settings.data, SECRET.encode()) == []
        vectors = live_rows(service.container.serving.releases[-1].view.index)[1]
        assert np.isfinite(vectors).all() and len(vectors) == 1


def test_erasing_takes_what_another_server_was_encoding(
    postgres: str, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read the records before they were deleted, and saves them after this server has put its snapshots in order."""
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    monkeypatch.setattr(db_postgres, "_LOCK_MS", 20_000)
    entered, may_end = threading.Event(), threading.Event()

    def slow(*rest: Any, **options: Any) -> Any:
        entered.set()
        assert may_end.wait(20)
        return encode_many(*rest, **options)

    with running(settings) as service, ThreadPoolExecutor(2) as threads:
        name = make_collection(service)
        # loaded while it is empty, or this server would encode the records at once, and save them
        wait_for(lambda: service.client.post(f"/v1/collections/{name}:search", json={"query": "a"}).is_success)
        upsert(service, name, [{"id": f"r{n}", "text": f"{SECRET} {n}"} for n in range(30)])
        database = service.container.database
        (wanted,) = [one for one in database.read(list_wanted) if one.key.collection == name]
        other = Loader(database, EncoderStore(settings.data / "encoders"), settings.data, is_shared=True)
        monkeypatch.setattr("app.serving.loading.encode_many", slow)
        loading = threads.submit(other.load, wanted, is_stopping=lambda: False)
        assert entered.wait(10)
        erasing_all = threads.submit(erase, service, name, *(f"r{n}" for n in range(30)))
        wait_for(lambda: not service.client.get(f"/v1/collections/{name}/records").json()["items"])
        time.sleep(0.5)
        may_end.set()
        assert loading.result().applied_seq == 30, "else this proves nothing"
        assert len(erasing_all.result()["erased"]) == 30  # type: ignore[arg-type]
        assert files_with(settings.data, SECRET.encode()) == []


def test_two_servers_erase_in_turn(postgres: str, tmp_path: Path, tiny_bundle: Path) -> None:
    """Each has removed the snapshot that the other goes on from, and what it has saved is not loaded there yet."""
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    with running(settings) as first, running(settings) as second:
        name = make_collection(first)
        upsert(first, name, [{"id": f"r{n}", "text": f"{SECRET} {n}"} for n in range(6)])
        for n in range(6):
            assert erase((first, second)[n % 2], name, f"r{n}")["erased"] == [f"r{n}"]
            assert files_with(settings.data, f"{SECRET} {n}".encode()) == []


def test_erasing_in_postgresql_waits_for_who_may_read_the_record_still(
    postgres: str, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that has not come to the records yet: PostgreSQL keeps their rows for it, whatever it is told."""
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    monkeypatch.setattr(db_postgres, "_LOCK_MS", 300)
    assert settings.database_url is not None
    with running(settings) as service, psycopg.connect(settings.database_url.get_secret_value()) as backup:
        name = make_collection(service)
        upsert(service, name, [{"id": "a", "text": SECRET}, {"id": "b", "text": "other"}])
        backup.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        backup.execute("SELECT name FROM collections")
        refused = service.client.post(f"/v1/collections/{name}/records:erase", json={"ids": ["a"]})
        assert "a long read goes on" in assert_problem(refused, 503, "not_erased_yet")["detail"]
        assert backup.execute("SELECT count(*) FROM records WHERE text = %s", [SECRET]).fetchone() == (1,)
        backup.rollback()
        assert erase(service, name, "a")["missing"] == ["a"]


def test_files_of_imports_and_exports_hold_nothing_erased(sqlite: Settings) -> None:
    with running(sqlite) as service:
        name = make_collection(service)
        place = f"/v1/collections/{name}"
        rows = [{"id": "mary-id", "text": SECRET}, {"id": "b", "text": "other"}]
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        headers = {"Content-Type": "application/x-ndjson"}
        imported = service.client.post(f"{place}/imports", content=body, headers=headers).json()["id"]
        wait_until_over(service, imported)
        exported = service.client.post(f"{place}/exports", json={}).json()["id"]
        wait_until_over(service, exported)
        assert files_with(sqlite.jobs, SECRET.encode()) == [f"{exported}/export.ndjson"]
        assert files_with(sqlite.jobs, b"mary-id")
        assert erase(service, name, "mary-id")["erased"] == ["mary-id"]
        assert files_with(sqlite.data, SECRET.encode()) == files_with(sqlite.data, b"mary-id") == []
        assert service.client.get(f"/v1/jobs/{exported}/file").status_code == 404


def test_files_of_imports_and_exports_go_with_their_collection(sqlite: Settings) -> None:
    with running(sqlite) as service:
        name, other = make_collection(service), make_collection(service)
        for each in (name, other):
            upsert(service, each, [{"id": "mary-id", "text": SECRET}])
        exported, kept = (
            service.client.post(f"/v1/collections/{each}/exports", json={}).json()["id"] for each in (name, other)
        )
        for job in (exported, kept):
            wait_until_over(service, job)
        assert len(files_with(sqlite.jobs, SECRET.encode())) == 2
        assert service.client.delete(f"/v1/collections/{name}").status_code == 204
        assert files_with(sqlite.jobs, SECRET.encode()) == [f"{kept}/export.ndjson"]
        assert service.client.get(f"/v1/jobs/{exported}/file").status_code == 404
        assert service.client.get(f"/v1/jobs/{exported}").json()["state"] == "succeeded"
    (sqlite.jobs / exported).mkdir()
    shutil.copy(sqlite.jobs / kept / "export.ndjson", sqlite.jobs / exported)  # as if killed before it was removed
    with running(sqlite):
        wait_for(lambda: files_with(sqlite.jobs, SECRET.encode()) == [f"{kept}/export.ndjson"])


def test_an_upload_that_waits_goes_with_its_collection(sqlite: Settings) -> None:
    with running(sqlite.model_copy(update={"workers": 0})) as service:
        name = make_collection(service)
        headers = {"Content-Type": "text/csv"}
        body = f"text,group\n{SECRET},a\n"
        service.client.post(f"/v1/collections/{name}/imports", content=body, headers=headers)
        assert files_with(sqlite.jobs, SECRET.encode())
        assert service.client.delete(f"/v1/collections/{name}").status_code == 204
        assert files_with(sqlite.jobs, SECRET.encode()) == []


def test_erasing_waits_for_imports_that_may_hold_the_record(sqlite: Settings) -> None:
    with running(sqlite.model_copy(update={"workers": 0})) as service:
        name = make_collection(service)
        body = json.dumps({"id": "a", "text": SECRET})
        headers = {"Content-Type": "application/x-ndjson"}
        url = f"/v1/collections/{name}/imports"
        job = service.client.post(url, content=body, headers=headers).json()["id"]
        refused = service.client.post(f"/v1/collections/{name}/records:erase", json={"ids": ["a"]})
        assert job in assert_problem(refused, 503, "not_erased_yet")["detail"]
        assert service.client.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
        erase(service, name, "a")
        assert files_with(sqlite.data, SECRET.encode()) == []


def wait_until_over(service: Running, job: str) -> None:
    wait_for(lambda: service.client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded")
