"""The index in memory is a projection: a snapshot is used when it is sound, and thrown away when it is not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from app.settings import Settings
from tests.conftest import add_encoder, make_collection
from tests.fakes.running import Running, make_settings, running, wait_for


@pytest.fixture
def sqlite(tmp_path: Path, tiny_bundle: Path) -> Settings:
    settings = make_settings(tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    return settings


def fill(service: Running, n: int = 30) -> str:
    name = make_collection(service)
    upserts = [{"id": f"r{number}", "text": f"sentence {number}"} for number in range(n)]
    body = {"upsert": upserts, "delete": []}
    assert service.client.post(f"/v1/collections/{name}/records:batch?wait=visible", json=body).json()["visible"]
    return name


def ids(service: Running, name: str, query: str = "sentence 7", k: int = 100) -> list[str]:
    answer = service.client.post(f"/v1/collections/{name}:search", json={"query": query, "k": k})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["results"][0]]


def snapshots(settings: Settings) -> list[Path]:
    return sorted(settings.data.glob("collections/*/releases/*/snapshots/*/manifest.json"))


def sources(logs: list[dict[str, object]]) -> list[object]:
    return [event["source"] for event in logs if event["event"] == "release_loaded"]


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


def test_a_missing_encoder_fails_its_collections_only_and_says_so(sqlite: Settings, other_bundle: Path) -> None:
    sha = add_encoder(sqlite, other_bundle, "other")
    with running(sqlite) as service:
        good = fill(service)
        bad = make_collection(service, "other")
    shutil.move(sqlite.data / "encoders" / sha, sqlite.data / "away")
    with running(sqlite) as service:
        assert ids(service, good)
        answer = service.client.post(f"/v1/collections/{bad}:search", json={"query": "a"})
        assert answer.status_code == 503
        assert "holds no bundle" in answer.json()["detail"]
        assert service.client.get("/readyz").json() == {"status": "ready", "failing": 1}
        # the write is taken all the same: the database is the truth
        written = service.client.put(f"/v1/collections/{bad}/records/r1", json={"text": "kept"})
        assert written.status_code == 201
        shutil.move(sqlite.data / "away", sqlite.data / "encoders" / sha)
        wait_for(lambda: service.client.post(f"/v1/collections/{bad}:search", json={"query": "a"}).status_code == 200)
        assert ids(service, bad) == ["r1"]


def test_a_change_of_group_or_metadata_does_not_encode_again(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.serving import following

    with running(sqlite) as service:
        name = fill(service)
        encoded: list[str] = []
        original = following._encode
        monkeypatch.setattr(
            following, "_encode", lambda release, texts: encoded.extend(texts) or original(release, texts)
        )
        place = f"/v1/collections/{name}/records"
        body = {"text": "sentence 7", "group": "g", "metadata": {"a": 1}}
        service.client.put(f"{place}/r7?wait=visible", json=body)
        assert encoded == []
        found = service.client.post(f"/v1/collections/{name}:search", json={"query": "sentence 7", "k": 1}).json()
        assert found["results"][0][0]["group"] == "g"
        service.client.put(f"{place}/r7?wait=visible", json={"text": "sentence 8", "role": "out_of_scope"})
        assert "r7" not in ids(service, name)
        service.client.put(f"{place}/r7?wait=visible", json={"text": "sentence 8"})
        assert encoded == ["sentence 8"]
        assert "r7" in ids(service, name)


def test_the_folder_of_a_deleted_collection_is_removed(sqlite: Settings) -> None:
    with running(sqlite) as service:
        name = fill(service)
    assert snapshots(sqlite)
    with running(sqlite) as service:
        assert service.client.delete(f"/v1/collections/{name}").status_code == 204
        wait_for(lambda: not snapshots(sqlite))


def test_a_large_import_is_compacted_once_it_is_over(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import app.container as wiring
    from app.serving.housekeeper import Housekeeper

    monkeypatch.setattr(wiring, "Housekeeper", lambda data: Housekeeper(data, quiet_s=0.3))
    with running(sqlite) as service:
        name = make_collection(service)
        for start in range(0, 6000, 1000):
            upserts = [{"id": f"r{n}", "text": f"sentence {n} {n * 7919 % 6007}"} for n in range(start, start + 1000)]
            service.client.post(f"/v1/collections/{name}/records:batch", json={"upsert": upserts})
        (release,) = [release for release in service.container.serving.releases if release.key.collection == name]
        wait_for(lambda: release.index.stats().base == 6000)
        assert release.index.stats().delta == 0
        assert ids(service, name, f"sentence 7 {7 * 7919 % 6007}", 1) == ["r7"]
        assert len(snapshots(sqlite)) == 1
