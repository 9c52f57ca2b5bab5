"""Compactions of several releases and several servers: none hinders another, and none does what was done already."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.job.errors import JobFailedError
from app.job.run import JobRun
from app.serving import housekeeper as housekeeping
from app.serving.catalogue.entry import Entry
from app.serving.housekeeper import Housekeeper, is_worth_it
from app.serving.release import ServingRelease
from app.serving.release_key import ReleaseKey
from app.serving.repository import ChangedRecords
from app.serving.roster import Roster
from app.serving.snapshots.base import empty_base, load_base
from app.serving.snapshots.building import build_snapshot
from app.serving.snapshots.spool import BuildOrder, Spool
from app.serving.upkeep import Upkeep
from index.factory import build
from index.manifest import MANIFEST, load_manifest
from index.snapshot import list_snapshots
from index.spec import IndexKind, IndexSpec
from model.contract.deciding.decision import DecisionParameters
from tests.fakes.running import wait_for

DIM = 8


class Server:
    """One server's housekeeping of a collection, without a database."""

    def __init__(self, data: Path, n_releases: int = 1, *, is_shared: bool = False) -> None:
        self.orders: list[str] = []
        self.housekeeper = Housekeeper(data, self.orders.append, is_shared=is_shared, quiet_s=0.0)
        self.roster = Roster()
        nothing, orders = cast(Any, None), cast(Any, SimpleNamespace(wakened=threading.Event()))
        self.upkeep = Upkeep(nothing, orders, self.housekeeper, nothing, self.roster, lambda _: None)
        self.active, *self.warm = (self._new(number) for number in range(n_releases, 0, -1))
        self.roster.put(self.active)
        for release in self.warm:
            self.roster.keep_warm(release)

    def _new(self, number: int) -> ServingRelease:
        key = ReleaseKey(collection_id=1, collection="faq", release_id=number, number=number, encoder_sha="enc")
        bundle = cast(Any, SimpleNamespace(sha="enc", encoder=SimpleNamespace(dim=DIM)))
        return ServingRelease(key, bundle, DecisionParameters(), empty_base(DIM), 0.9)

    def follow(self, last_seq: int) -> None:
        """Every change stores a record."""
        for release in (self.active, *self.warm):
            ids = np.arange(release.applied_seq + 1, last_seq + 1)
            entries = {int(number): Entry(f"r{number}", "text", None) for number in ids}
            changes = ChangedRecords(last_seq, last_seq, last_seq, entries, [])
            release.apply(changes, ids, np.eye(DIM, dtype=np.float32)[ids % DIM])
            self.housekeeper.changed(release)

    def load(self, last_seq: int) -> None:
        """Take over the newest snapshot, as the follower does, and come to a change."""
        folder = list_snapshots(self.active.key.folder(self.housekeeper.data))[0]
        base, old = load_base(folder, encoder_checksum="enc", dim=DIM), self.active
        self.active = ServingRelease(old.key, old.bundle, old.parameters, base, 0.9)
        self.housekeeper.loaded(self.active)
        self.follow(last_seq)
        self.roster.put(self.active)

    def run_job(self) -> dict[str, Any]:
        run = SimpleNamespace(
            collection_id=1,
            collection="faq",
            report=lambda progress: None,
            check=lambda: None,
            is_cancelled=lambda: False,
        )
        return self.upkeep._compact(cast(JobRun, run))

    def snapshots(self) -> list[str]:
        return [folder.name for folder in list_snapshots(self.active.key.folder(self.housekeeper.data))]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few changes are worth a compaction, and more of them wait for it."""
    monkeypatch.setattr("index.live.COMPACT_ROWS", 5)
    monkeypatch.setattr(housekeeping, "MOST_CHANGES", 20)
    yield


def damage(release: ServingRelease) -> None:
    """A bit flips on the disk, not in what is mapped."""
    assert release.view.base.folder is not None
    vectors = release.view.base.folder / "vectors.npy"
    raw = bytearray(vectors.read_bytes())
    raw[-1] ^= 1
    vectors.unlink()
    vectors.write_bytes(raw)


def test_a_damaged_warm_release_does_not_keep_the_active_one_from_being_compacted(tmp_path: Path) -> None:
    server = Server(tmp_path, n_releases=3)
    server.follow(10)
    server.run_job()
    damage(server.warm[0])
    server.follow(40)
    assert server.housekeeper.is_full(server.active)
    with pytest.raises(JobFailedError, match="is damaged"):
        server.run_job()
    assert [server.active.view.n_changes, *(warm.view.n_changes for warm in server.warm)] == [0, 30, 0]
    assert not server.housekeeper.is_full(server.active)
    assert [server.active.is_stale, *(warm.is_stale for warm in server.warm)] == [False, True, False]


def test_a_release_that_is_dropped_while_another_is_compacted_is_not_compacted_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path, n_releases=2)
    server.follow(40)
    (dropped,) = server.warm
    folder, compact = dropped.key.folder(tmp_path).parent, server.housekeeper.compact

    def drop_then_compact(*wanted: Any) -> Any:
        server.roster.drop(dropped)
        shutil.rmtree(folder, ignore_errors=True)
        return compact(*wanted)

    monkeypatch.setattr(server.housekeeper, "compact", drop_then_compact)
    assert server.run_job()["seq"] == 40
    assert not folder.exists(), "nobody would remove it"


@pytest.mark.parametrize("moment", ["before", "while"])
def test_nothing_is_left_of_a_collection_that_is_deleted_when_it_is_compacted(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path)
    server.follow(40)
    housekeeper, compact = server.housekeeper, server.housekeeper.compact
    work = housekeeper._compact_and_save

    def deleted() -> None:
        server.roster.forget(1)
        housekeeper.remove(server.active, with_collection=True)
        housekeeper._thread.submit(lambda: None).result()

    def delete_then(do: Any) -> Any:
        return lambda *wanted: (deleted(), do(*wanted))[1]

    if moment == "before":
        monkeypatch.setattr(housekeeper, "compact", delete_then(compact))
    else:
        monkeypatch.setattr(housekeeper, "_compact_and_save", delete_then(work))
    with suppress(JobFailedError):
        server.run_job()
    housekeeper._thread.submit(lambda: None).result()
    assert not (tmp_path / "collections" / "1").exists(), "its texts would stay until the next start"


def test_a_release_whose_base_is_damaged_is_to_be_loaded_again(tmp_path: Path) -> None:
    server = Server(tmp_path, n_releases=2)
    server.follow(10)
    server.run_job()
    damage(server.active)
    server.follow(40)
    with pytest.raises(JobFailedError, match="is damaged"):
        server.run_job()
    assert server.active.is_stale
    assert not server.housekeeper.is_full(server.active), "changes do not wait for what would fail"
    assert server.warm[0].view.n_changes == 0
    server.housekeeper.loaded(server.active)
    assert server.housekeeper.is_full(server.active), "a compaction is worth a try again"


@pytest.mark.parametrize(("changes", "in_haste"), [(20, False), (21, True)])
def test_a_compaction_is_done_in_haste_where_very_many_changes_wait(
    changes: int, in_haste: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "LARGE_DELTA", 20)
    orders: list[BuildOrder] = []
    finish = Spool.finish
    monkeypatch.setattr(Spool, "finish", lambda self, order, *rest: (orders.append(order), finish(self, order, *rest)))
    server = Server(tmp_path)
    server.follow(changes)
    server.run_job()
    assert [order.in_haste for order in orders] == [in_haste]


def test_what_was_built_in_haste_is_worth_another_compaction(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((4_000, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids, spec = np.arange(4_000), IndexSpec(kind=IndexKind.IVF_PQ, target_recall=0.9)
    release = Server(tmp_path).active
    for n_before, is_worth in ((1_000, True), (4_000, False)):
        before = build(ids[:n_before], vectors[:n_before], spec)
        index = build(ids, vectors, spec, trained_from=before, in_haste=True)
        based = ServingRelease(
            release.key, release.bundle, release.parameters, replace(release.view.base, index=index), 0.9
        )
        assert is_worth_it(based) is is_worth


def test_a_snapshot_of_the_same_change_with_other_lists_is_loaded(tmp_path: Path) -> None:
    """Else the server would order again and again what another one has done."""
    first, second = Server(tmp_path, is_shared=True), Server(tmp_path, is_shared=True)
    for server in (first, second):
        server.follow(40)
    first.run_job()
    second.load(40)
    assert not second.housekeeper.has_newer(second.active)
    folder = list_snapshots(first.active.key.folder(tmp_path))[0]
    manifest = load_manifest(folder)
    (folder / MANIFEST).write_bytes(replace(manifest, spec=replace(manifest.spec, target_recall=0.5)).to_bytes())
    assert second.housekeeper.has_newer(second.active)


def test_after_an_import_what_was_built_in_haste_is_built_anew_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "LARGE_DELTA", 1_000)
    monkeypatch.setattr("index.spec.EXACT_LIMIT_FLOATS", 0)
    monkeypatch.setattr("app.serving.compacting._build_apart", lambda spool, *_: build_snapshot(spool.folder))
    server = Server(tmp_path)
    lists, worth = [], []
    for last_seq in (1_000, 4_000, 4_000):
        server.follow(last_seq)
        server.run_job()
        lists.append(server.active.view.base.index.spec.parameters["nlist"])
        worth.append(is_worth_it(server.active))
    assert (lists, worth) == ([32, 32, 64], [False, True, False])


def test_a_server_orders_no_compaction_that_another_has_done(tmp_path: Path) -> None:
    first, second = Server(tmp_path, is_shared=True), Server(tmp_path, is_shared=True)
    first.follow(40)
    second.follow(40)
    first.run_job()
    for server in (first, second):
        server.housekeeper.consider(server.active)
        server.housekeeper._thread.submit(lambda: None).result()
        assert server.orders == []
    alone = Server(tmp_path / "alone", is_shared=True)
    alone.follow(40)
    alone.housekeeper.consider(alone.active)
    wait_for(lambda: alone.orders == ["faq"])


@pytest.mark.parametrize(("later", "compacted"), [(3, 40), (30, 70)])
def test_a_server_waits_for_another_s_snapshot_and_compacts_what_came_since(
    later: int, compacted: int, tmp_path: Path
) -> None:
    """Where that is worth it."""
    first, second = Server(tmp_path, is_shared=True), Server(tmp_path, is_shared=True)
    first.follow(40)
    second.follow(40)
    first.run_job()
    done: list[dict[str, Any]] = []
    job = threading.Thread(target=lambda: done.append(second.run_job()))
    job.start()
    time.sleep(0.1)
    assert job.is_alive()
    fresh = second.active
    second.load(40 + later)
    job.join(5)
    assert fresh.view.n_changes == 40, "what was in memory before is left as it is"
    assert [result["seq"] for result in done] == [compacted]
    assert second.snapshots()[0] == f"{compacted:020d}"


def test_a_compaction_whose_base_another_server_s_erasure_removed_goes_on_from_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Server(tmp_path, is_shared=True), Server(tmp_path, is_shared=True)
    first.follow(10)
    first.run_job()
    second.load(40)
    first.follow(40)
    compact, loading = second.housekeeper.compact, list[threading.Thread]()

    def follow_on() -> None:
        wait_for(lambda: second.active.is_stale)
        second.load(70)

    def compact_after_an_erasure(*wanted: Any) -> Any:
        if not loading:
            assert first.housekeeper.purge([first.active]).result()
            loading.append(threading.Thread(target=follow_on))
            loading[0].start()
        return compact(*wanted)

    monkeypatch.setattr(second.housekeeper, "compact", compact_after_an_erasure)
    assert second.run_job()["seq"] == 70
    loading[0].join()
