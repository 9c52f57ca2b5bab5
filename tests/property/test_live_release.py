"""A release against a plain dict: seeded random changes, filtered searches, snapshots, restarts and kills.

The same with the base on an index server, where compactions also die in the middle and replicas lag and compact too.

Every failure names its seed; the same seed plays the same steps again. SAMESAY_STEPS sets how many (400).
"""

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from app.search.filters import SearchFilter
from app.serving.applying import without_vectors
from app.serving.catalogue import change_terms
from app.serving.catalogue.entry import Entry
from app.serving.compacting import Compactor
from app.serving.index_server import IndexServer
from app.serving.release import ServingRelease, View
from app.serving.release_key import ReleaseKey
from app.serving.repository import ChangedRecords
from app.serving.snapshots.base import Base, StaleReleaseError, empty_base, load_base
from index.backends.milvus.base import MilvusBase
from index.backends.milvus.server import Milvus
from index.errors import IndexServerAwayError
from index.milvus_kinds import MilvusKind
from index.snapshot import list_snapshots, prune_snapshots
from index.spec import IndexKind, IndexSpec
from index.types import MISSING_ID
from model.contract.deciding.decision import DecisionParameters
from tests.fakes.live_rows import live_rows
from tests.fakes.plain_filter import passes
from tests.fakes.plain_milvus import PlainMilvus

DIM = 8
STEPS = int(os.environ.get("SAMESAY_STEPS", "400"))
KEY = ReleaseKey(collection_id=1, collection="faq", release_id=1, number=1, encoder_sha="enc")
FILTERS: list[dict[str, Any]] = [
    {"group": "g1"},
    {"group": {"in": ["g0", "g2", "nowhere"]}},
    {"metadata": {"lang": "en"}},
    {"metadata": {"year": {"gte": 3, "lt": 7}}},
    {"metadata": {"tags": {"in": ["x", "y"]}}},
    {"group": "g0", "metadata": {"year": {"gt": 2}}},
]


@dataclass(frozen=True)
class Record:
    """One record of the model."""

    text: str
    group: str | None
    metadata: dict[str, Any]

    def entry(self, number: int) -> Entry:
        return Entry(f"r{number}", self.text, self.group, json.dumps(self.metadata).encode())


@dataclass(frozen=True)
class Batch:
    """Some changes of the log."""

    seq: int
    upserts: dict[int, Record]
    gone: list[int]


@dataclass
class Model:
    """What must be there, and the log that led to it. A change's tag is its number times 7."""

    records: dict[int, Record] = field(default_factory=dict)
    log: list[Batch] = field(default_factory=list)
    seq: int = 0


def encode(text: str) -> NDArray[np.float32]:
    """A unit vector that only the text decides."""
    vector = np.random.default_rng(sum(text.encode()) * 31 + len(text)).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def new_release(snapshots: Path, server: Milvus | None = None) -> ServingRelease:
    """What a start makes of the folder."""
    found = list_snapshots(snapshots)
    base = load_base(found[0], encoder_checksum="enc", dim=DIM, server=server) if found else empty_base(DIM)
    return ServingRelease(KEY, cast(Any, None), DecisionParameters(), base, 0.99)


class Scenario:
    """Random steps on a release and on its model."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random, self.folder = random.Random(seed), folder
        self.model, self.release = Model(), self.start()
        self.compactor = Compactor(folder, encoder_checksum="enc", dim=DIM, target_recall=0.99)
        self.kept: list[tuple[View, dict[int, Record]]] = []

    def start(self) -> ServingRelease:
        """What a start makes of the folder."""
        return new_release(self.folder)

    def write(self) -> None:
        upserts = {self.random.randrange(40): self.record() for _ in range(self.random.choice([1, 1, 2, 9]))}
        for number in list(upserts):
            if number in self.model.records and self.random.random() < 0.4:  # its text stays: no new vector
                upserts[number] = replace(upserts[number], text=self.model.records[number].text)
        gone = [
            n for n in {self.random.randrange(45) for _ in range(self.random.choice([0, 1, 4]))} if n not in upserts
        ]
        self.model.seq += len(upserts) + len(gone)
        batch = Batch(self.model.seq, upserts, gone)
        self.model.log.append(batch)
        self.model.records.update(upserts)
        for number in gone:
            self.model.records.pop(number, None)
        self.follow(batch)

    def follow(self, batch: Batch) -> None:
        """As the follower does."""
        apply(self.release, batch)

    def search(self) -> None:
        wanted = self.random.choice([None, *FILTERS])
        check_search(self.release, self.release.view, self.model.records, wanted, self.record().text)

    def keep_a_view(self) -> None:
        """A request that takes its time: what it sees stays as it was."""
        self.kept = [*self.kept[-3:], (self.release.view, dict(self.model.records))]

    def look_back(self) -> None:
        for view, records in self.kept:
            check_whole(view, records)
            check_search(self.release, view, records, self.random.choice(FILTERS), "anything")

    def compact(self) -> None:
        """With changes under way, up to the moment of the swap."""
        before = self.release.view
        base = self.compactor.fold(before)
        assert (base.applied_seq, base.tag) == (before.applied_seq, before.tag)
        for _ in range(self.random.choice([0, 0, 1, 3])):
            self.write()
        self.release.rebase(base, before)
        prune_snapshots(self.folder, keep=self.random.choice([1, 2]))

    def restart(self) -> None:
        if self.random.random() < 0.5:
            self.compact()
        self.kill()

    def kill(self) -> None:
        """Whatever was in memory is gone; a snapshot may be new and never served, and a draft may lie about."""
        if self.random.random() < 0.3:
            self.compactor.fold(self.release.view)
        if self.random.random() < 0.3:
            (self.folder / ".tmp-spool-killed").mkdir(parents=True, exist_ok=True)
        self.kept.clear()
        self.release = self.start()
        assert self.release.view.tag == 7 * self.release.applied_seq
        for batch in self.model.log:
            if batch.seq > self.release.applied_seq:
                self.follow(batch)

    def check(self) -> None:
        check_whole(self.release.view, self.model.records)
        assert self.release.applied_seq == self.model.seq

    def record(self) -> Record:
        metadata: dict[str, Any] = {"lang": self.random.choice(["en", "zh"]), "year": self.random.randrange(10)}
        if self.random.random() < 0.4:
            metadata["tags"] = self.random.sample(["x", "y", "退款"], 2)
        group = self.random.choice([None, "g0", "g1", "g2", "g3"])
        return Record(f"sentence {self.random.randrange(60)}", group, self.random.choice([{}, metadata]))

    def steps(self) -> Iterator[str]:
        ways = [self.write, self.search, self.keep_a_view, self.look_back, self.compact, self.restart, self.check]
        for _ in range(STEPS):
            way = self.random.choices(ways, weights=[40, 40, 5, 4, 4, 2, 3])[0]
            way()
            yield way.__name__


def apply(release: ServingRelease, batch: Batch) -> None:
    """As the follower does: only what has another text gets a vector."""
    entries = {number: record.entry(number) for number, record in batch.upserts.items()}
    new = list(without_vectors(entries, release.view))
    vectors = np.array([encode(entries[n].text) for n in new], np.float32).reshape(-1, DIM)
    changes = ChangedRecords(batch.seq, batch.seq, 7 * batch.seq, entries, batch.gone)
    release.apply(changes, np.array(new, np.int64), vectors)


def check_search(
    release: ServingRelease, view: View, records: dict[int, Record], wanted: dict[str, Any] | None, text: str
) -> None:
    """The answer is that of an exact search of the dict, filtered by a plain reading of the filter."""
    query, k = encode(text), 5
    shown = {n: r for n, r in records.items() if wanted is None or passes(wanted, r.group, r.metadata)}
    scores = {number: float(encode(record.text).astype(np.float64) @ query) for number, record in shown.items()}
    expected = sorted(scores.values(), reverse=True)[:k]
    allowed = None if wanted is None else release.masks.of(view.catalogue, SearchFilter.model_validate(wanted).compiled)
    found = view.index.search(query[None], k, allowed)
    ids = [number for number in found.record_ids[0].tolist() if number != MISSING_ID]
    assert [scores[number] for number in ids] == pytest.approx(expected, abs=2e-6)
    assert len(set(ids)) == len(ids)
    assert view.catalogue.find(ids) == [records[number].entry(number) for number in ids]


def check_whole(view: View, records: dict[int, Record]) -> None:
    """Every record with its vector, and the sizes of the groups of the newest moment."""
    ids, vectors = live_rows(view.index)
    assert ids.tolist() == sorted(records)
    assert all(
        (vector == encode(records[number].text)).all() for number, vector in zip(ids.tolist(), vectors, strict=True)
    )
    asked = list(range(50))
    assert view.catalogue.find(asked) == [records[n].entry(n) if n in records else None for n in asked]


def check_groups(release: ServingRelease, records: dict[int, Record]) -> None:
    groups = release.view.catalogue.groups
    expected = {record.group for record in records.values() if record.group is not None}
    assert set(groups) == expected
    assert groups.n_groups == len(expected)
    assert [groups.has(name) for name in ("g0", "g1", "nowhere")] == [n in expected for n in ("g0", "g1", "nowhere")]


@pytest.mark.parametrize("seed", range(8))
def test_random_operations_agree_with_a_dict(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:
        monkeypatch.setattr(change_terms, "BLOCK", 5)
    scenario, done = Scenario(seed, tmp_path / "snapshots"), []
    try:
        for step in scenario.steps():
            done.append(step)
            check_groups(scenario.release, scenario.model.records)
        scenario.check()
    except AssertionError:
        print(f"seed {seed} failed after {len(done)} steps: {' '.join(done)}")
        raise


class RemoteScenario(Scenario):
    """The same over an index server, beside a replica that lags, loads what the other has saved, and compacts too."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.server = PlainMilvus()
        super().__init__(seed, folder)
        # lists are learned anew when the records have doubled: then the next base is in another collection
        kind = MilvusKind.IVF_FLAT if seed % 2 else MilvusKind.FLAT
        server = IndexServer(self.server, kind, "0" * 16, folder, is_shared=True)
        self.compactor = Compactor(folder, encoder_checksum="enc", dim=DIM, target_recall=0.99, server=server)
        self.replica = self.start()

    def start(self) -> ServingRelease:
        release = new_release(self.folder, self.server)
        base = release.view.index.base
        assert isinstance(base, MilvusBase) or not len(base)
        return release

    def fold(self, release: ServingRelease) -> Base | None:
        """A compaction, which may die in the middle, or find that another was faster."""
        base = release.view.base.folder
        self.server.writes_left = self.random.choice([None, None, self.random.randrange(30)])
        try:
            return self.compactor.fold(release.view)
        except IndexServerAwayError:
            return None
        except StaleReleaseError:
            removed = base is not None and not base.exists()
            assert removed or int(list_snapshots(self.folder)[0].name) > release.applied_seq, "the other was faster"
            return None
        finally:
            self.server.writes_left = None

    def compact(self) -> None:
        before = self.release.view
        base = self.fold(self.release)
        # a view of before the compaction may show what it has written: see docs/adr/0027
        self.kept = [(view, records) for view, records in self.kept if view.applied_seq >= before.applied_seq]
        for _ in range(self.random.choice([0, 0, 1, 3])):
            self.write()
        if base is not None:
            assert isinstance(base.index, MilvusBase)
            held = self.server.collections[base.index.name].rows
            assert sorted(number for number in held if number >= 0) == base.index.rows.record_ids.tolist()
            self.release.rebase(base, before)
            prune_snapshots(self.folder, keep=self.random.choice([1, 2]))

    def kill(self) -> None:
        if self.random.random() < 0.5:
            self.fold(self.release)
        self.kept.clear()
        self.release = self.start()
        self.catch_up(self.release)

    def catch_up(self, release: ServingRelease) -> None:
        """As the follower does: the changed records as they are now, whatever they were meanwhile."""
        batches = [batch for batch in self.model.log if batch.seq > release.applied_seq]
        changed = {number for batch in batches for number in (*batch.upserts, *batch.gone)}
        there = {number: self.model.records[number] for number in changed if number in self.model.records}
        apply(release, Batch(self.model.seq, there, sorted(changed - there.keys())))

    def lag(self) -> None:
        """The replica comes a part of the way, without the other's snapshot or with it."""
        newest = list_snapshots(self.folder)
        if newest and int(newest[0].name) > self.replica.view.index.base_seq and self.random.random() < 0.5:
            self.replica = self.start()
        behind = [batch for batch in self.model.log if batch.seq > self.replica.applied_seq]
        for batch in behind[: self.random.randrange(5)]:
            apply(self.replica, batch)

    def compact_on_the_replica(self) -> None:
        before, base = self.replica.view, self.fold(self.replica)
        self.kept = [(view, records) for view, records in self.kept if view.applied_seq >= before.applied_seq]
        if base is not None:
            self.replica.rebase(base, before)

    def ask_the_replica(self) -> None:
        self.catch_up(self.replica)
        check_whole(self.replica.view, self.model.records)
        wanted = self.random.choice([None, *FILTERS])
        check_search(self.replica, self.replica.view, self.model.records, wanted, self.record().text)

    def steps(self) -> Iterator[str]:
        ways = [self.write, self.search, self.keep_a_view, self.look_back, self.compact, self.restart, self.check]
        replicas = [self.lag, self.compact_on_the_replica, self.ask_the_replica]
        for _ in range(STEPS):
            way = self.random.choices([*ways, *replicas], weights=[40, 40, 5, 4, 6, 3, 3, 10, 4, 4])[0]
            way()
            yield way.__name__


@pytest.mark.parametrize("seed", range(8))
def test_random_operations_over_an_index_server(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.serving.snapshots.building.choose_spec", lambda *_: IndexSpec(kind=IndexKind.IVF_PQ))
    scenario, done = RemoteScenario(seed, tmp_path / "snapshots"), []
    try:
        done.extend(scenario.steps())
        scenario.check()
        scenario.ask_the_replica()
    except AssertionError:
        print(f"seed {seed} failed after {len(done)} steps: {' '.join(done)}")
        raise
    assert {"compact", "restart", "lag", "compact_on_the_replica", "ask_the_replica"} <= set(done)
    assert seed % 2 == 0 or len(scenario.server.collections) > 1


def test_a_snapshot_of_one_history_is_not_taken_over_by_its_folder_alone(tmp_path: Path) -> None:
    scenario = Scenario(0, tmp_path / "snapshots")
    scenario.write()
    scenario.compact()
    (newest, *_) = list_snapshots(tmp_path / "snapshots")
    shutil.copytree(newest, tmp_path / "snapshots" / f"{scenario.model.seq + 5:020d}")
    copied = load_base(list_snapshots(tmp_path / "snapshots")[0], encoder_checksum="enc", dim=DIM)
    assert (copied.applied_seq, copied.tag) == (int(newest.name), 7 * int(newest.name)), "the manifest counts"
