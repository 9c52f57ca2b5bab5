"""A database restored from a backup, beside snapshots that are newer: it answers as the restored database says."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from app.db.database import Database
from app.serving import holding
from app.serving.applying import apply_changes
from app.serving.release import ServingRelease
from tests.conftest import add_encoder
from tests.fakes.answers import Answers, ask, assert_same
from tests.fakes.running import Running, make_settings, running, wait_for

PLACE = "/v1/collections/faq"

N_LOST = 30
"""Changes after the backup, which the restored database knows nothing of."""

QUERIES = [
    f"{start} {number} {end}"
    for start in ("sentence", "new sentence")
    for number in range(0, N_LOST, 3)
    for end in ("", "after the backup", "after the restore")
]


def change(service: Running, branch: str, n: int) -> None:
    """Make n changes that leave the same ids behind, whatever the branch, with other texts: only those differ."""
    for number in range(0, n, 3):
        upserts = [
            {"id": f"r{number}", "text": f"sentence {number} after {branch}"},
            {"id": f"new{number}", "text": f"new {branch} sentence {number}"},
        ]
        batch = {"upsert": upserts, "delete": [f"r{50 + number}"]}
        answer = service.client.post(f"{PLACE}/records:batch?wait=visible", json=batch)
        assert answer.json()["visible"] is True


def answers_of(data: Path) -> Answers:
    """What a server on this folder answers to what either branch may have said."""
    with running(make_settings(data)) as service:
        return ask(service.client, "faq", QUERIES)


def without_snapshots(data: Path, folder: Path) -> Path:
    """A copy that has to be rebuilt from the database: what is true."""
    shutil.copytree(data, folder)
    shutil.rmtree(folder / "collections")
    return folder


def snapshots(data: Path) -> list[Path]:
    return sorted(data.glob("collections/*/releases/*/snapshots/[0-9]*"))


def restore(backup: Path, data: Path) -> None:
    """Put the backup's database, and no WAL of the other one, in its place."""
    for file in data.glob("samesay.db*"):
        file.unlink()
    for file in backup.glob("samesay.db*"):
        shutil.copy(file, data)


@pytest.fixture
def backup(tmp_path: Path, tiny_bundle: Path) -> Path:
    """A data folder as it was copied while no server ran."""
    data = tmp_path / "data"
    add_encoder(make_settings(data), tiny_bundle)
    with running(make_settings(data)) as service:
        service.client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        upserts = [{"id": f"r{number}", "text": f"sentence {number}"} for number in range(200)]
        service.client.post(f"{PLACE}/records:batch?wait=visible", json={"upsert": upserts}).raise_for_status()
    return Path(shutil.copytree(data, tmp_path / "backup"))


@pytest.fixture
def data(backup: Path, tmp_path: Path) -> Path:
    """The folder that went on after the backup, and has newer snapshots."""
    data = tmp_path / "data"
    with running(make_settings(data)) as service:
        change(service, "the backup", N_LOST)
    assert int(snapshots(data)[-1].name) == 200 + N_LOST
    return data


def test_a_restored_database_answers_for_itself(backup: Path, data: Path, tmp_path: Path) -> None:
    expected = answers_of(without_snapshots(backup, tmp_path / "rebuilt"))
    restore(backup, data)
    for life in range(2):  # and the second time with the snapshots that the first one left
        assert_same(answers_of(data), expected, life)


@pytest.mark.parametrize("n", [N_LOST - 3, N_LOST, 2 * N_LOST])
def test_a_restored_database_that_went_on_elsewhere_answers_for_itself(
    n: int, backup: Path, data: Path, tmp_path: Path
) -> None:
    """It has come to the newer snapshots' sequence numbers by then, with other records."""
    elsewhere = without_snapshots(backup, tmp_path / "elsewhere")
    with running(make_settings(elsewhere)) as service:
        change(service, "the restore", n)
        expected = ask(service.client, "faq", QUERIES)
    restore(elsewhere, data)
    assert_same(answers_of(data), expected)


def test_writes_after_a_restore_are_those_that_are_found(backup: Path, data: Path, tmp_path: Path) -> None:
    restore(backup, data)
    with running(make_settings(data)) as service:
        change(service, "the restore", N_LOST)
        found = ask(service.client, "faq", QUERIES)
    assert_same(found, answers_of(without_snapshots(data, tmp_path / "rebuilt")))
    assert_same(answers_of(data), found)


def test_a_snapshot_that_knows_of_later_changes_than_the_backup_is_never_believed(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower that lags reads the records as they are, so that its snapshot of change 2 may show change 4."""
    data, may_apply = tmp_path / "data", [1]
    add_encoder(make_settings(data), tiny_bundle)

    def one_by_one(database: Database, release: ServingRelease, **_: object) -> int:
        return apply_changes(database, release, limit=1) if may_apply and may_apply.pop() else 0

    with running(make_settings(data)) as service:
        monkeypatch.setattr(holding, "apply_changes", one_by_one)
        service.client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).raise_for_status()
        wait_for(lambda: service.container.serving.find("faq"))  # loading applies what is there without asking
        service.client.put(f"{PLACE}/records/a?wait=visible", json={"text": "alpha first"}).raise_for_status()
        service.client.put(f"{PLACE}/records/a", json={"text": "alpha second"}).raise_for_status()
        service.client.put(f"{PLACE}/records/b", json={"text": "beta"}).raise_for_status()
        with sqlite3.connect(data / "samesay.db") as source, sqlite3.connect(tmp_path / "samesay.db") as target:
            source.backup(target)  # while the server runs
        service.client.put(f"{PLACE}/records/a", json={"text": "gamma third"}).raise_for_status()
        may_apply.append(1)
        wait_for(lambda: service.client.get(PLACE).json()["visible_seq"] == 2)
        monkeypatch.setattr(holding, "apply_changes", lambda *_, **__: 0)
    assert int(snapshots(data)[-1].name) == 2
    monkeypatch.undo()
    restore(tmp_path, data)
    expected = answers_of(without_snapshots(data, tmp_path / "rebuilt"))
    assert expected[0]["a"].text == "alpha second"
    assert_same(answers_of(data), expected)
