"""Many changes over an index with codes: they are coded too, and answer like the records that they are."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from index.backends.exact import ExactIndex
from index.backends.rows import Rows
from index.factory import build
from index.overlay import MOST_EXACT
from index.spec import IndexKind, IndexSpec
from index.types import MISSING_ID, Allowed, Vectors
from tests.fakes.compacting import CompactingIndex
from tests.fakes.live_rows import live_rows

IVF = IndexSpec(kind=IndexKind.IVF_PQ)
N_BASE, N_BATCH, DIM = 8_000, 500, 32
CENTRES = np.random.default_rng(0).standard_normal((900, DIM))


def make_vectors(n: int, random: np.random.Generator, centres: NDArray[np.float64] = CENTRES) -> Vectors:
    vectors = centres[random.integers(0, len(centres), n)] + 0.3 * random.standard_normal((n, DIM))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


QUERIES = make_vectors(200, np.random.default_rng(1))


class Changed:
    """A live index beside a dict of what it must hold."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(2)
        vectors = make_vectors(N_BASE, self.random)
        self.records = dict(enumerate(vectors))
        self.index = CompactingIndex(build(np.arange(N_BASE), vectors, IVF), choose=lambda n, dim: IVF)
        self.seq = 0

    def change(self, ids: Sequence[int], deleted: Sequence[int] = (), centres: NDArray[np.float64] = CENTRES) -> None:
        vectors = make_vectors(len(ids), self.random, centres)
        self.seq += 1
        self.index.apply(ids, vectors, deleted, self.seq)
        self.records.update(zip(ids, vectors, strict=True))
        for record_id in deleted:
            self.records.pop(record_id, None)

    def change_much(self, batches: int) -> Iterator[None]:
        """Replace records of the base, add others, and remove some of both, by and by."""
        for number in range(batches):
            known = self.random.choice(list(self.records), 2 * N_BATCH // 3, replace=False).tolist()
            new = list(range(N_BASE + number * N_BATCH, N_BASE + number * N_BATCH + N_BATCH // 3))
            self.change(known[50:] + new, known[:50])
            yield

    def exact(self) -> ExactIndex:
        ids = np.array(list(self.records))
        return ExactIndex(Rows.sorted(ids, np.array([self.records[i] for i in ids.tolist()])))

    def recall(self, queries: Vectors = QUERIES, allowed: Allowed | None = None) -> float:
        found, exact = self.index.search(queries, 10, allowed), self.exact().search(queries, 10, allowed)
        for ids, scores, query in zip(found.record_ids.tolist(), found.scores, queries, strict=True):
            assert MISSING_ID not in ids
            np.testing.assert_allclose(scores, np.array([self.records[i] for i in ids]) @ query, atol=1e-6)
        return float((found.scores >= exact.scores[:, -1:] - 1e-6).mean())


@pytest.fixture(scope="module")
def changed() -> Changed:
    made = Changed()
    for _ in made.change_much(12):
        state = made.index.state
        assert len(state.delta_ids) - (len(state.coded) if state.coded else 0) <= MOST_EXACT
        if state.coded is not None:  # not a copy of them: that would double what they take
            assert np.may_share_memory(state.coded.rows.vectors, state.delta_vectors)
    assert made.index.state.coded is not None
    return made


def test_neighbours_are_found_as_in_the_base(changed: Changed) -> None:
    assert changed.recall() >= 0.98


def test_filters_hold(changed: Changed) -> None:
    for share in (0.9, 0.3):
        allowed = np.random.default_rng(1).random(max(changed.records) + 1) < share
        assert changed.recall(allowed=allowed) >= 0.97
        found = changed.index.search(QUERIES, 10, allowed).record_ids
        assert allowed[found].all()


def test_a_filter_may_leave_nothing_but_changes(changed: Changed) -> None:
    allowed = np.arange(max(changed.records) + 1) >= N_BASE
    assert changed.recall(allowed=allowed) >= 0.98


@pytest.mark.parametrize("n_topics", [1, 20])
def test_changes_of_another_kind_than_the_base(n_topics: int) -> None:
    made = Changed()
    topics = 3 * np.random.default_rng(3).standard_normal((n_topics, DIM))
    for number in range(8):
        made.change(range(N_BASE + number * N_BATCH, N_BASE + (number + 1) * N_BATCH), centres=topics)
    assert made.recall(make_vectors(100, np.random.default_rng(4), topics)) >= 0.97
    assert made.recall() >= 0.98


def test_beside_deleted_records_others_are_found() -> None:
    random = np.random.default_rng(0)
    centres = random.standard_normal((200, 64))
    topics = random.integers(0, len(centres), 20_000)
    vectors = centres[topics] + 0.8 * random.standard_normal((len(topics), 64))
    vectors = np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
    live = CompactingIndex(build(np.arange(len(vectors)), vectors, IVF))
    gone = (topics < 20) & (random.random(len(vectors)) < 0.8)
    live.delete(np.flatnonzero(gone), 1)
    queries = vectors[gone][:200]
    kept = np.flatnonzero(~gone)
    tenth = np.sort(queries @ vectors[kept].T, axis=1)[:, -10]
    assert (
        live.search(queries, 10).scores >= tenth[:, None] - 1e-6
    ).mean() >= 0.98  # 0.93 if nothing is looked for anew


def test_what_was_written_last_is_its_own_nearest_neighbour(changed: Changed) -> None:
    ids = changed.index.state.delta_ids
    ids = ids[np.isin(ids, list(changed.records))]
    vectors = np.array([changed.records[i] for i in ids.tolist()])
    best = changed.index.search(vectors, 1)
    np.testing.assert_allclose(best.scores, 1, atol=1e-5)
    assert (best.record_ids[:, 0] == ids).mean() >= 0.999  # equal vectors: the lower id


def test_a_moment_stays_as_it_was() -> None:
    made = Changed()
    moments = []
    for _ in made.change_much(10):
        state = made.index.state
        moments.append((state, state.search(QUERIES[:20], 10, None)))
    for state, before in moments:
        after = state.search(QUERIES[:20], 10, None)
        np.testing.assert_array_equal(after.record_ids, before.record_ids)
        np.testing.assert_array_equal(after.scores, before.scores)


def test_few_records_rewritten_often() -> None:
    made = Changed()
    for _ in range(3 * MOST_EXACT // 50):
        made.change(range(50))
    assert len(made.index.state.delta_ids) >= 3 * MOST_EXACT - 50
    assert made.index.state.count == N_BASE
    assert made.recall() >= 0.98


def test_a_new_base_under_many_changes() -> None:
    made = Changed()
    for number, _ in enumerate(made.change_much(12)):
        if number == 5:
            before = made.index.state
    base = build(*live_rows(before), IVF, trained_from=before.base)
    made.index.rebase(base, before)
    assert made.index.state.coded is not None
    assert made.recall() >= 0.98


def test_an_exact_base_has_no_codes_to_share() -> None:
    live = CompactingIndex.empty(DIM)
    live.apply(np.arange(3 * MOST_EXACT), make_vectors(3 * MOST_EXACT, np.random.default_rng(0)), [], 1)
    assert live.state.coded is None
