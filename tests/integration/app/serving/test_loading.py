"""A snapshot is used at a start when it is sound, and thrown away, or left alone, when it is not."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

import app.container as wiring
from app.serving.loading import Loader
from app.serving.snapshots.base import Base, load_base
from app.settings import Settings
from index.errors import SnapshotTakenError
from tests.fakes.running import running, wait_for
from tests.fakes.served import fill, ids, snapshots, sources


def test_a_restart_takes_the_snapshot_and_what_came_after_it(sqlite: Settings) -> None:
    with running(sqlite) as service:
        name = fill(service)
        before = ids(service, name)
    saved = snapshots(sqlite)
    with running(sqlite) as service:
        place = f"/v1/collections/{name}"
        service.client.put(f"{place}/records/r7", json={"text": "something else"})
        service.client.delete(f"{place}/records/r8?wait=visible")
        service.client.put(f"{place}/records/new?wait=visible", json={"text": "sentence 7"})
        after = ids(service, name)
    # as after a crash: the newer snapshot was never written
    for manifest in snapshots(sqlite):
        if manifest not in saved:
            shutil.rmtree(manifest.parent)
    with capture_logs() as logs, running(sqlite) as service:
        wait_for(lambda: service.client.get(f"/v1/collections/{name}").json()["visible_seq"] == 33)
        assert ids(service, name) == after
    assert sources(logs) == ["snapshot"]
    assert before[0] == "r7"
    assert after[0] == "new"
    assert "r8" not in after


@pytest.mark.parametrize("damage", ["bytes", "encoder", "future", "other records"])
def test_a_doubtful_snapshot_is_thrown_away_and_rebuilt(sqlite: Settings, damage: str, other_bundle: Path) -> None:
    with running(sqlite) as service:
        name = fill(service)
        expected = ids(service, name)
    (manifest,) = snapshots(sqlite)
    snapshot = manifest.parent
    if damage == "bytes":
        raw = bytearray((snapshot / "vectors.npy").read_bytes())
        raw[-5] ^= 1
        (snapshot / "vectors.npy").write_bytes(raw)
    else:
        from index.factory import build
        from index.snapshot import Snapshot, save_snapshot
        from index.spec import choose_spec
        from model.contract.bundle import load_bundle

        sha = load_bundle(next((sqlite.data / "encoders").iterdir())).sha
        vectors = np.eye(32, dtype=np.float32)[:30]
        first = 1000 if damage == "other records" else 1
        index = build(np.arange(first, first + 30), vectors, choose_spec(30, 32))
        seq = 99 if damage == "future" else 30
        shutil.rmtree(snapshot)
        made = Snapshot(index=index, encoder_checksum="f" * 64 if damage == "encoder" else sha, applied_seq=seq)
        save_snapshot(snapshot.parent / f"{seq:020d}", made)
    with capture_logs() as logs, running(sqlite) as service:
        assert ids(service, name) == expected
    assert sources(logs) == ["database"]
    assert [event["event"] for event in logs].count("snapshot_thrown_away") == 1


def test_what_another_server_saves_while_records_are_encoded_is_taken(
    sqlite: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(sqlite) as service:
        name = fill(service)
        expected = ids(service, name)
    (manifest,) = snapshots(sqlite)
    shutil.move(manifest.parent, tmp_path / "saved")

    def be_late(folder: Path, *_: object, **__: object) -> None:
        shutil.copytree(tmp_path / "saved", folder)
        raise SnapshotTakenError(str(folder))

    monkeypatch.setattr("app.serving.snapshots.building.save_snapshot", be_late)
    with capture_logs() as logs, running(sqlite) as service:
        assert ids(service, name) == expected
    assert sources(logs) == ["snapshot"]
    assert not {"release_failed", "snapshot_not_saved"} & {event["event"] for event in logs}


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("opened", ["index.snapshot.load_array", "app.serving.catalogue.sidecar.EntryFile"])
def test_a_process_that_has_too_much_open_throws_no_snapshot_away(
    sqlite: Settings, opened: str, is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with running(sqlite) as service:
        expected = ids(service, name := fill(service))
    (manifest,) = snapshots(sqlite)
    before = manifest.stat().st_ino
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(opened, refuse)
        patch.setattr(wiring, "Loader", lambda *given, **named: Loader(*given, **{**named, "is_shared": is_shared}))
        with running(sqlite) as service:
            assert ids(service, name) == expected
        assert sources(logs) == ["database"]
    assert manifest.stat().st_ino == before
    with capture_logs() as logs, running(sqlite):
        assert sources(logs) == ["snapshot"]


def test_a_snapshot_that_another_server_replaces_while_it_is_loaded_leads_to_the_newer_one(
    sqlite: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(sqlite) as service:
        name = fill(service)
    with running(sqlite) as service:
        service.client.put(f"/v1/collections/{name}/records/new?wait=visible", json={"text": "sentence 7 again"})
        expected = ids(service, name)
    older, newer = (manifest.parent for manifest in snapshots(sqlite))
    shutil.move(newer, tmp_path / "saved")

    def be_overtaken(folder: Path, **known: Any) -> Base:
        if folder == older and older.exists():
            shutil.move(tmp_path / "saved", newer)
            shutil.rmtree(older)
        return load_base(folder, **known)

    monkeypatch.setattr("app.serving.loading.load_base", be_overtaken)
    with capture_logs() as logs, running(sqlite) as service:
        assert ids(service, name) == expected
    assert not older.exists(), "else this proves nothing"
    assert sources(logs) == ["snapshot"]


def test_a_release_whose_snapshot_is_damaged_while_it_answers_is_rebuilt(sqlite: Settings) -> None:
    with running(sqlite) as service:
        fill(service)
    (manifest,) = snapshots(sqlite)
    with capture_logs() as logs, running(sqlite) as service:
        name = service.client.get("/v1/collections").json()["items"][0]["name"]
        raw = bytearray((manifest.parent / "vectors.npy").read_bytes())
        raw[-5] ^= 1
        (manifest.parent / "vectors.npy").unlink()  # what is mapped stays as it was
        (manifest.parent / "vectors.npy").write_bytes(raw)
        place = f"/v1/collections/{name}"
        service.client.put(f"{place}/records/new?wait=visible", json={"text": "something else"})
        states = []
        for _ in range(2):
            job = service.client.post(f"{place}:compact").json()["id"]
            wait_for(lambda job=job: service.client.get(f"/v1/jobs/{job}").json()["finished_at"])
            states.append(service.client.get(f"/v1/jobs/{job}").json()["state"])
            assert len(ids(service, name)) == 31
            wait_for(lambda: sources(logs) == ["snapshot", "database"])
    assert states == ["failed", "succeeded"]
