"""The index in memory is a projection: it follows the database, and answers meanwhile."""

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

import app.container as wiring
from app.collection.repository import CollectionRepository
from app.collection.tables import Collection
from app.db.opening import open_database
from app.errors import StorageError
from app.record.schemas import RecordDraft
from app.record.tables import ChangeLogEntry, Record
from app.record.writer import RecordWriter
from app.serving import follower, holding
from app.serving.applying import apply_changes
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.settings import Settings
from model.contract.onnx_encoder import OnnxEncoder
from tests.conftest import add_encoder, make_collection
from tests.fakes.running import Running, running, wait_for
from tests.fakes.served import fill, ids, snapshots, sources


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon."""
    monkeypatch.setattr(follower, "_RETRY_S", 0.3)


def test_a_missing_encoder_fails_its_collections_only_and_says_so(
    sqlite: Settings, other_bundle: Path, impatient: None
) -> None:
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


def _unless(broken: threading.Event, do: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *rest, **options: 1 // 0 if broken.is_set() else do(*rest, **options)


def test_what_answers_goes_on_answering_while_it_cannot_be_brought_up_to_date(
    sqlite: Settings, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    with running(sqlite) as service:
        name = fill(service)
        place, before, broken = f"/v1/collections/{name}", ids(service, name), threading.Event()
        broken.set()
        for owner, what in ((holding, "apply_changes"), (Loader, "load")):  # loading it again would bring it up too
            monkeypatch.setattr(owner, what, _unless(broken, getattr(owner, what)))
        service.client.put(f"{place}/records/new", json={"text": "sentence 7"})
        wait_for(lambda: service.client.get("/readyz").json()["failing"] == 1)
        for _ in range(50):
            assert ids(service, name) == before
        broken.clear()
        wait_for(lambda: "new" in ids(service, name))
        wait_for(lambda: service.client.get("/readyz").json()["failing"] == 0)


def test_a_database_that_is_away_for_a_moment_makes_nothing_load_again(
    sqlite: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_AWAY_S", 0.05)
    with running(sqlite) as service:
        name = fill(service)
        apply_changes, away = holding.apply_changes, threading.Event()
        away.set()

        def flaky(*rest: Any, **options: Any) -> int:
            if away.is_set():
                raise StorageError("the database cannot be reached")
            return apply_changes(*rest, **options)

        monkeypatch.setattr(holding, "apply_changes", flaky)
        with capture_logs() as logs:
            service.client.put(f"/v1/collections/{name}/records/new", json={"text": "sentence 7"})
            wait_for(lambda: "follower_round_failed" in [event["event"] for event in logs])
            assert len(ids(service, name)) == 30
            away.clear()
            wait_for(lambda: "new" in ids(service, name))
        assert sources(logs) == []


def test_a_trimmed_log_leads_to_a_rebuild(sqlite: Settings) -> None:
    with running(sqlite) as service:
        name = fill(service)
        database = service.container.database

        def write_and_trim(session: Session) -> None:
            (collection,) = session.scalars(select(Collection).where(Collection.name == name))
            drafts = [RecordDraft(id="new", text="sentence 7")]
            RecordWriter(session, collection.id).upsert(drafts)
            session.execute(delete(ChangeLogEntry))

        with capture_logs() as logs:
            database.write(write_and_trim).result(10)
            wait_for(lambda: "new" in ids(service, name))
        assert sources(logs)[-1] == "database"
        assert "release_failed" not in [event["event"] for event in logs]
        assert service.client.get(f"/v1/collections/{name}").json()["visible_seq"] == 31


@pytest.mark.parametrize("n_since", [0, 2, 5])
def test_a_database_that_lost_changes_under_a_server_is_followed(service: Running, n_since: int) -> None:
    """As after a failover to a standby that lacked the last three: others may take their numbers, and more."""
    name, database = fill(service), service.container.database

    def write(session: Session, n: int, text: str) -> None:
        writer = RecordWriter(session, CollectionRepository(session).lock(name)[0])
        writer.upsert([RecordDraft(id=f"{text}{number}", text=f"{text} {number}") for number in range(n)])

    def lose_and_write(session: Session) -> None:
        collection = CollectionRepository(session).get_locked(name)
        collection.last_seq -= 3
        for table in (ChangeLogEntry, Record):
            session.execute(delete(table).where(table.seq > collection.last_seq))
        session.flush()
        write(session, n_since, "later")

    database.write(lambda session: write(session, 3, "lost")).result(10)
    wait_for(lambda: "lost2" in ids(service, name))
    database.write(lose_and_write).result(10)
    there = database.read(lambda session: sorted(session.scalars(select(Record.id))))
    wait_for(lambda: sorted(ids(service, name)) == there)
    assert len(there) == 30 + n_since
    assert service.client.get(f"/v1/collections/{name}").json()["visible_seq"] == 30 + n_since


def test_a_restart_is_not_ready_before_it_has_caught_up(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was changed after the snapshot is in neither, until the log has been followed to its end."""
    with running(sqlite) as service:
        name = fill(service)
    with running(sqlite) as service:
        for number in range(5, 10):
            service.client.put(f"/v1/collections/{name}/records/r{number}?wait=visible", json={"text": "other"})
        monkeypatch.setattr(service.container.serving._housekeeper, "save", lambda _: None)  # as after a crash
    monkeypatch.setattr(
        holding, "apply_changes", lambda *rest, **options: apply_changes(*rest, **{**options, "limit": 1})
    )
    with capture_logs() as logs, running(sqlite) as service:
        assert len(ids(service, name)) == 30
    assert sources(logs) == ["snapshot"]


def test_stopping_does_not_wait_for_a_long_load(
    sqlite: Settings, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path
) -> None:
    with running(sqlite) as service:
        name = make_collection(service)
        upserts = [{"id": f"r{n}", "text": f"sentence {n}"} for n in range(1000)]
        service.client.post(f"/v1/collections/{name}/records:batch?wait=visible", json={"upsert": upserts})
    shutil.rmtree(sqlite.data / "collections")
    monkeypatch.setattr("app.serving.repository.FETCHED", 1)
    encode, entered = OnnxEncoder.encode, threading.Event()

    def slow(*rest: Any, **more: Any) -> Any:
        entered.set()
        time.sleep(0.1)
        return encode(*rest, **more)

    container = wiring.build(sqlite)
    monkeypatch.setattr(OnnxEncoder, "encode", slow)
    container.start()
    assert entered.wait(10)
    started = time.monotonic()
    container.stop()
    assert time.monotonic() - started < 5  # all of it would take 100 s


def test_a_change_of_group_or_metadata_does_not_encode_again(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(sqlite) as service:
        name = fill(service)
        encoded: list[str] = []
        original = OnnxEncoder.encode

        def noting(self: OnnxEncoder, texts: list[str], **_: object) -> object:
            encoded.extend(texts)
            return original(self, texts)

        monkeypatch.setattr(OnnxEncoder, "encode", noting)
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
        wait_for(lambda: not list((sqlite.data / "collections").iterdir()))


def test_what_was_deleted_while_no_server_ran_leaves_no_vectors_behind(sqlite: Settings) -> None:
    with running(sqlite) as service:
        kept, gone = fill(service), fill(service)
    assert len(snapshots(sqlite)) == 2
    database = open_database(sqlite)

    def unit(session: Session) -> None:
        CollectionRepository(session).delete(CollectionRepository(session).get_locked(gone))

    database.write(unit).result(10)
    database.close()
    with running(sqlite) as service:
        wait_for(lambda: len(snapshots(sqlite)) == 1)
        assert len(ids(service, kept)) == 30


def test_a_delete_sets_those_free_who_wait_for_visibility(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(sqlite) as service, ThreadPoolExecutor(1) as pool:
        name = fill(service)
        place = f"/v1/collections/{name}"
        monkeypatch.setattr(holding, "apply_changes", lambda *_, **__: 0)  # never
        waiting = pool.submit(service.client.put, f"{place}/records/new?wait=visible", json={"text": "a"})
        wait_for(lambda: service.client.get(place).json()["last_seq"] == 31)
        time.sleep(0.1)
        started = time.monotonic()
        assert service.client.delete(place).status_code == 204
        assert waiting.result(10).json()["visible"] is False
        assert time.monotonic() - started < 5  # not wait_visible_s


def test_a_deletion_says_that_searches_do_not_show_it_yet(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(sqlite.model_copy(update={"wait_visible_s": 0.2})) as service:
        name = fill(service, 2)
        monkeypatch.setattr(holding, "apply_changes", lambda *_, **__: 0)  # never
        path = f"/v1/collections/{name}/records"
        late = service.client.delete(f"{path}/r0?wait=visible")
        assert (late.status_code, late.json()) == (202, {"visible": False})
        assert service.client.get(f"{path}/r0").status_code == 404
        assert "r0" in ids(service, name)
        assert service.client.delete(f"{path}/r1").status_code == 204


def test_a_large_import_is_compacted_once_it_is_over(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "Housekeeper", partial(Housekeeper, quiet_s=0.3))
    with running(sqlite) as service:
        name = make_collection(service)
        wait_for(lambda: service.container.serving.find(name))  # what it is loaded with is no change
        for start in range(0, 6000, 1000):
            upserts = [{"id": f"r{n}", "text": f"sentence {n} {n * 7919 % 6007}"} for n in range(start, start + 1000)]
            service.client.post(f"/v1/collections/{name}/records:batch", json={"upsert": upserts})
        (release,) = [release for release in service.container.serving.releases if release.key.collection == name]
        wait_for(lambda: release.view.index.stats().base == 6000)
        assert release.view.index.stats().delta == 0
        assert release.view.catalogue.n_changes == 0
        assert ids(service, name, f"sentence 7 {7 * 7919 % 6007}", 1) == ["r7"]
        wait_for(lambda: len(snapshots(sqlite)) == 1)
