"""A LiveIndex against a plain dict: seeded random operations, replays, compactions under way and restarts."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.backends.faiss_ivf import IvfPqIndex
from index.errors import InvalidIdError, InvalidVectorError, WrongDimError
from index.factory import build
from index.snapshot import (
    Snapshot,
    latest_snapshot,
    list_snapshots,
    load_snapshot,
    save_snapshot,
    snapshot_folder,
)
from index.spec import IndexKind, IndexSpec, choose_spec
from index.types import MISSING_ID, Vectors
from tests.fakes.compacting import CompactingIndex
from tests.fakes.live_rows import live_rows

DIM = 12
TOLERANCE = 2e-6
Row = NDArray[np.float32]


def make_vectors(n: int, dim: int = DIM, seed: int = 0) -> Vectors:
    """Unit vectors in groups."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((max(1, n // 10), dim))
    vectors = centres[generator.integers(0, len(centres), n)] + 0.4 * generator.standard_normal((n, dim))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@dataclass(frozen=True)
class Change:
    """One batch of the change log, as the follower reads it."""

    seq: int
    upserted: tuple[int, ...]
    vectors: Vectors
    deleted: tuple[int, ...]


@dataclass
class Model:
    """What the index must be: a dict, and the log that led to it."""

    records: dict[int, Row] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)

    def apply(self, change: Change) -> None:
        for record_id in change.deleted:
            self.records.pop(record_id, None)
        for record_id, vector in zip(change.upserted, change.vectors, strict=True):
            self.records[record_id] = vector
        self.log.append(change)

    def nearest(self, query: Row, k: int, allowed: NDArray[np.bool_] | None) -> list[tuple[float, int]]:
        scored = [
            (float((query.astype(np.float64) * vector).sum()), record_id)
            for record_id, vector in self.records.items()
            if allowed is None or (record_id < len(allowed) and allowed[record_id])
        ]
        return sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k]


def check_search(index: CompactingIndex, model: Model, query: Row, k: int, allowed: NDArray[np.bool_] | None) -> None:
    expected = model.nearest(query, k, allowed)
    found = index.search(query[None], k, allowed)
    ids, scores = found.record_ids[0].tolist(), found.scores[0].tolist()
    assert ids[len(expected) :] == [MISSING_ID] * (k - len(expected))
    assert scores[: len(expected)] == pytest.approx([score for score, _ in expected], abs=TOLERANCE)
    for found_id, (score, record_id) in zip(ids, expected, strict=False):
        if found_id != record_id:  # only where the dict's own scores are within float32's error
            assert float(query @ model.records[found_id]) == pytest.approx(score, abs=TOLERANCE)
    assert len(set(ids[: len(expected)])) == len(expected)


def check_whole(index: CompactingIndex, model: Model) -> None:
    """Every record, its vector, the counts and the sequence number."""
    ids, vectors = live_rows(index.state)
    assert ids.tolist() == sorted(model.records)
    assert all((vector == model.records[i]).all() for i, vector in zip(ids.tolist(), vectors, strict=True))
    stats = index.stats()
    assert len(index) == stats.count == len(model.records)
    assert stats.tombstones == stats.base + stats.delta - stats.count >= 0
    assert index.applied_seq == stats.applied_seq == (model.log[-1].seq if model.log else 0)
    asked = np.array(sorted(model.records, reverse=True), np.int64)
    held = index.state.vectors_of(asked)
    assert all((vector == model.records[i]).all() for i, vector in zip(asked.tolist(), held, strict=True))


def save(index: CompactingIndex, parent: Path) -> Path:
    """Compact, and save the base under the number it is complete up to."""
    if index.state.changes:
        index.compact()
    state = index.state
    seq = state.base_seq if state.changes else state.applied_seq
    folder = snapshot_folder(parent, seq)
    save_snapshot(folder, Snapshot(index=state.base, encoder_checksum="enc-a", applied_seq=seq))
    return folder


def load(folder: Path, choose: Callable[[int, int], IndexSpec] = choose_spec) -> CompactingIndex:
    snapshot = load_snapshot(folder, encoder_checksum="enc-a", dim=DIM)
    return CompactingIndex(snapshot.index, applied_seq=snapshot.applied_seq, choose=choose)


class Scenario:
    """Random operations on an index and on its model."""

    def __init__(self, seed: int, kind: IndexKind, folder: Path) -> None:
        self.random = random.Random(seed)
        self.pool = make_vectors(400, seed=seed)
        self.kind, self.folder = kind, folder
        self.model = Model()
        self.seq = 0
        self.index = CompactingIndex.empty(DIM)
        self.index.choose = self.choose

    def choose(self, n: int, dim: int) -> IndexSpec:
        # Called between the taking of the rows and the build: what is written here arrives during a compaction.
        for _ in range(self.random.choice([0, 0, 1, 4])):
            self.write()
        return IndexSpec(kind=self.kind)

    def vector(self) -> Row:
        row: Row = self.pool[self.random.randrange(len(self.pool))]
        return row

    def write(self) -> None:
        random = self.random
        upserted = tuple(random.randrange(60) for _ in range(random.choice([0, 1, 1, 2, 8])))
        deleted = tuple(i for i in {random.randrange(70) for _ in range(random.choice([0, 0, 1, 5]))} - set(upserted))
        vectors = np.array([self.vector() for _ in upserted], dtype=np.float32).reshape(len(upserted), DIM)
        self.seq += random.randrange(1, 4)
        change = Change(self.seq, upserted, vectors, deleted)
        self.model.apply(change)
        way = random.randrange(3)
        if way == 0 and not deleted:
            self.index.upsert(upserted, vectors, self.seq)
        elif way == 0 and not upserted:
            self.index.delete(deleted, self.seq)
        else:
            self.play(change)

    def play(self, change: Change) -> None:
        self.index.apply(change.upserted, change.vectors, change.deleted, change.seq)

    def search(self) -> None:
        mask_length = self.random.choice([0, 1, 30, 90])
        allowed = np.array([self.random.random() < 0.5 for _ in range(mask_length)], dtype=np.bool_)
        query, k = self.vector(), self.random.choice([1, 3, 10, 80])
        check_search(self.index, self.model, query, k, None if self.random.random() < 0.5 else allowed)

    def replay(self) -> None:
        """Deliver the end of the log again, from anywhere."""
        for change in self.model.log[-self.random.randrange(1, 30) :]:
            self.play(change)

    def compact(self) -> None:
        self.index.compact()

    def restart(self) -> None:
        """Save, forget, load, and follow the log from the snapshot's cursor."""
        saved = save(self.index, self.folder)
        assert latest_snapshot(self.folder) == saved
        self.index = load(saved, self.choose)
        cursor = self.index.applied_seq
        assert cursor == int(saved.name)
        for change in self.model.log:
            if change.seq > cursor:
                self.play(change)

    def check(self) -> None:
        check_whole(self.index, self.model)

    def step(self) -> None:
        steps = [self.write, self.search, self.replay, self.compact, self.restart, self.check]
        self.random.choices(steps, weights=[40, 50, 4, 2, 1, 3])[0]()


@pytest.mark.parametrize("kind", [IndexKind.EXACT, IndexKind.FLAT])
@pytest.mark.parametrize("seed", range(6))
def test_random_operations_agree_with_a_dict(kind: IndexKind, seed: int, tmp_path: Path) -> None:
    scenario = Scenario(seed, kind, tmp_path)
    for _ in range(1_000):
        scenario.step()
    scenario.check()


def test_random_changes_over_an_approximate_base() -> None:
    # Enough records that the lists are really used; what is approximate is only which neighbours are found.
    n, dim = 5_000, 32
    pool = make_vectors(2 * n, dim)
    spec = IndexSpec(kind=IndexKind.IVF_PQ, target_recall=0.999)
    index = CompactingIndex(build(np.arange(n), pool[:n], spec), choose=lambda n, dim: spec)
    assert isinstance(index._state.base, IvfPqIndex)
    records = dict(enumerate(pool[:n]))
    chance = random.Random(3)
    recalls: list[float] = []
    for seq in range(1, 401):
        upserted = chance.sample(range(2 * n), 5)
        deleted = [i for i in chance.sample(range(2 * n), 12) if i not in upserted]
        vectors = pool[[chance.randrange(2 * n) for _ in upserted]]
        index.apply(upserted, vectors, deleted, seq)
        records.update(zip(upserted, vectors, strict=True))
        for record_id in deleted:
            records.pop(record_id, None)
        assert len(index) == len(records)
        if seq % 150 == 0:
            index.compact()
        if seq % 10 == 0:
            ids, matrix = np.array(list(records)), np.array(list(records.values()))
            query = pool[chance.randrange(2 * n)][None]
            allowed = None if chance.random() < 0.5 else np.arange(2 * n) % 2 == 0
            among = np.ones(len(ids), np.bool_) if allowed is None else allowed[ids]
            exact = matrix.astype(np.float64) @ query[0].astype(np.float64)
            floor = np.sort(exact[among])[-10] - 1e-6
            found = index.search(query, 10, allowed)
            assert len(set(found.record_ids[0].tolist())) == 10
            own = [float(exact[np.flatnonzero(ids == i)[0]]) for i in found.record_ids[0]]
            np.testing.assert_allclose(found.scores[0], own, atol=TOLERANCE)
            assert allowed is None or allowed[found.record_ids[0]].all()
            recalls.append(float((found.scores[0] >= floor).mean()))
    assert np.mean(recalls) >= 0.98


def test_a_deleted_topic_does_not_hide_what_lies_behind_it() -> None:
    # All the lists near the query hold nothing but tombstones.
    vectors = np.concatenate(
        [make_vectors(500, 32, seed=1) * 0.3 + make_vectors(1, 32, seed=2), make_vectors(6_000, 32)]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = CompactingIndex(build(np.arange(6_500), vectors, IndexSpec(kind=IndexKind.IVF_PQ)))
    index.delete(np.arange(500), 1)
    query = make_vectors(1, 32, seed=2)
    found = index.search(query, 10)
    floor = np.sort(vectors[500:] @ query[0])[-10]
    assert (found.record_ids >= 500).all()
    assert (found.scores >= floor - 1e-6).mean() >= 0.9


def test_the_last_of_a_repeated_id_counts() -> None:
    index = CompactingIndex.empty(DIM)
    first, second, third = make_vectors(3)
    index.upsert([5, 9, 5], np.array([first, second, third]), 1)
    assert len(index) == 2
    assert index.search(third[None], 1).record_ids.tolist() == [[5]]
    assert (index.state.vectors_of(np.array([5, 9])) == np.array([third, second])).all()


def test_a_record_that_is_both_added_and_deleted_in_a_batch_is_there() -> None:
    vectors = make_vectors(4)
    index = CompactingIndex(build([5, 6, 7], vectors[:3], IndexSpec(kind=IndexKind.EXACT)))
    index.apply([5], vectors[3:], [5, 6, 6], 4)
    assert (len(index), index.applied_seq) == (2, 4)
    assert index.search(vectors[3:], 9).record_ids[0, :2].tolist() == [5, 7]


def test_replaying_does_not_grow_the_index() -> None:
    vectors = make_vectors(50)
    index = CompactingIndex(build(np.arange(30), vectors[:30], IndexSpec(kind=IndexKind.EXACT)), applied_seq=3)
    for seq in (3, 4, 4, 2):
        index.upsert(np.arange(50), vectors, seq)
        index.delete([77], seq)
    stats = index.stats()
    assert (stats.base, stats.delta, stats.tombstones, stats.count) == (30, 20, 0, 50)
    assert index.applied_seq == 4


@pytest.mark.parametrize("kind", [IndexKind.EXACT, IndexKind.IVF_PQ])
def test_what_a_search_under_way_sees_stays_as_it_was(kind: IndexKind) -> None:
    vectors = make_vectors(3_500)
    index = CompactingIndex(build(np.arange(3_000), vectors[:3_000], IndexSpec(kind=kind)))
    index.upsert(np.arange(3_000, 3_200), vectors[3_000:3_200], 1)
    index.delete([7, 3_005], 2)
    before, queries = index._state, vectors[2_000:3_200:3]
    answers = before.search(queries, 1, None)
    index.apply(np.arange(0, 3_400, 2), vectors[100:1_800], np.arange(1, 3_400, 2), 3)
    again = before.search(queries, 1, None)
    assert again.record_ids.tolist() == answers.record_ids.tolist()
    assert live_rows(before)[0].tolist() == [i for i in range(3_200) if i not in (7, 3_005)]


def test_refused_changes_change_nothing() -> None:
    index = CompactingIndex.empty(DIM)
    index.upsert([1], make_vectors(1), 1)
    bad = make_vectors(2)
    bad[1, 0] = np.nan
    with pytest.raises(InvalidVectorError, match="vector 1 holds NaN"):
        index.upsert([2, 3], bad, 2)
    with pytest.raises(InvalidVectorError, match=r"vector 0 has length 1\.01"):
        index.upsert([2], make_vectors(1) * np.float32(1.01), 2)
    with pytest.raises(WrongDimError, match="13 dimensions, the index has 12"):
        index.upsert([2], make_vectors(1, 13), 2)
    with pytest.raises(InvalidIdError, match="record id -2 is negative"):
        index.upsert([-2], make_vectors(1), 2)
    with pytest.raises(InvalidIdError, match="record id -9 is negative"):
        index.delete([-9], 2)
    with pytest.raises(InvalidIdError, match="float64"):
        index.delete(np.array([1.0]), 2)
    assert (len(index), index.applied_seq) == (1, 1)


def test_what_the_caller_does_to_its_arrays_afterwards_does_not_matter() -> None:
    index = CompactingIndex.empty(DIM)
    ids, vectors = np.arange(3), make_vectors(3)
    kept = vectors.copy()
    index.upsert(ids, vectors, 1)
    ids += 10
    vectors[:] = vectors[::-1].copy()
    assert index.search(kept, 1).record_ids.tolist() == [[0], [1], [2]]


def test_a_snapshot_is_of_the_base_and_writes_meanwhile_come_after_it(tmp_path: Path) -> None:
    vectors = make_vectors(40)
    writes: Iterator[int] = itertools.count(2)

    def choose(n: int, dim: int) -> IndexSpec:
        seq = next(writes)
        index.apply([30 + seq], vectors[30 + seq : 31 + seq], [seq], seq)
        return IndexSpec(kind=IndexKind.EXACT)

    index = CompactingIndex.empty(DIM)
    index.choose = choose
    index.upsert(np.arange(10), vectors[:10], 1)
    folder = save(index, tmp_path)
    assert folder.name == "00000000000000000001"
    assert (index.applied_seq, index.stats().base_seq) == (2, 1)
    loaded = load(folder)
    assert (loaded.applied_seq, live_rows(loaded.state)[0].tolist()) == (1, list(range(10)))
    index = loaded
    index.delete([99], 8)  # nothing to remove: the base is complete up to 8 as it is
    assert save(index, tmp_path).name == "00000000000000000008"
    assert [int(path.name) for path in list_snapshots(tmp_path)] == [8, 1]


def test_an_index_without_changes_asks_its_base_directly() -> None:
    base = build(np.arange(50), make_vectors(50), IndexSpec(kind=IndexKind.EXACT))
    index = CompactingIndex(base)
    asked: list[int] = []
    real = base.search

    def search(queries: Vectors, k: int, allowed: NDArray[np.bool_] | None = None) -> object:
        asked.append(k)
        return real(queries, k, allowed)

    base.search = search  # type: ignore[assignment, method-assign]
    index.search(make_vectors(1), 3)
    index.upsert(np.arange(50), make_vectors(50), 1)  # the same vectors: still no change
    index.search(make_vectors(1), 4)
    assert asked == [3, 4]
