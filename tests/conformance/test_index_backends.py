"""Every back end, alone and under a LiveIndex, gives the answers of an oracle written out here."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from index.backends.faiss_cpu import FlatIndex
from index.backends.faiss_ivf import IvfPqIndex
from index.backends.milvus.base import MilvusBase
from index.backends.milvus.releases import build_collection
from index.backends.rows import FrozenIndex
from index.errors import InvalidIdError, InvalidKError, InvalidMaskError, InvalidVectorError, WrongDimError
from index.factory import build
from index.interface import IndexReader
from index.milvus_kinds import MilvusKind, MilvusSpec
from index.spec import IndexKind, IndexSpec
from index.types import MISSING_ID, Allowed, Ids, Vectors
from tests.fakes.compacting import CompactingIndex
from tests.fakes.index_oracle import (
    SCORE_TOLERANCE,
    assert_exact_answers,
    assert_true_answers,
    index_recall,
    make_vectors,
    oracle,
)
from tests.fakes.plain_milvus import PlainMilvus

MakeIndex = Callable[[Ids, Vectors], IndexReader]
MakeBase = Callable[[Ids, Vectors], FrozenIndex]

EXACT_KINDS = [IndexKind.EXACT, IndexKind.FLAT]


def live_over(kind: IndexKind) -> MakeIndex:
    """A LiveIndex over a base of this kind."""
    spec = IndexSpec(kind=kind)
    return lambda ids, vectors: changed_over(lambda *rows: build(*rows, spec), ids, vectors, spec)


def changed_over(make_base: MakeBase, ids: Ids, vectors: Vectors, spec: IndexSpec) -> CompactingIndex:
    """A LiveIndex that came to hold the records by every road: base, replaced, added, deleted, added again."""
    dim = vectors.shape[1]
    stays = np.arange(len(ids)) % 10 != 0
    base_ids, base_vectors = ids[stays].copy(), vectors[stays].copy()
    base_vectors[::7] = np.roll(base_vectors[::7], 1, axis=1)
    gone_ids = np.arange(len(ids)) + (ids.max(initial=0) + 1)
    gone = np.roll(vectors, 3, axis=1)
    index = CompactingIndex(
        make_base(np.concatenate([base_ids, gone_ids[::9]]), np.concatenate([base_vectors, gone[::9]])),
        applied_seq=5,
        choose=lambda n, dim: spec,
    )
    index.upsert(base_ids[::7], vectors[stays][::7], 6)
    index.apply(gone_ids[::8], gone[::8], gone_ids[::9], 7)
    index.upsert(ids[~stays], np.roll(vectors[~stays], 2, axis=1), 8)
    index.delete(np.concatenate([gone_ids, ids[~stays][::2]]), 9)
    index.upsert(ids[~stays], vectors[~stays], 10)
    assert (len(index), index.dim, index.applied_seq) == (len(ids), dim, 10)
    return index


def remote(ids: Ids, vectors: Vectors) -> MilvusBase:
    """A base on an index server, which has seen other rows too."""
    order, server = np.argsort(ids), PlainMilvus()
    spec = MilvusSpec(kind=MilvusKind.FLAT)
    index = build_collection(server, "base", ids, vectors, spec, encoder_checksum="enc", applied_seq=5)
    strangers = np.arange(20) + (ids.max(initial=0) + 1_000)
    index.upsert(strangers, np.repeat(vectors[:1], 20, axis=0) if len(vectors) else make_vectors(20, index.dim), 9)
    return MilvusBase(index, ids[order])


def remote_live(ids: Ids, vectors: Vectors) -> IndexReader:
    return changed_over(remote, ids, vectors, IndexSpec(kind=IndexKind.EXACT))


def plain(kind: IndexKind) -> MakeIndex:
    return lambda ids, vectors: build(ids, vectors, IndexSpec(kind=kind))


def compacted(kind: IndexKind) -> MakeIndex:
    def make(ids: Ids, vectors: Vectors) -> IndexReader:
        index = live_over(kind)(ids, vectors)
        assert isinstance(index, CompactingIndex)
        index.compact()
        return index

    return make


EXACT = {
    **{f"{name}-{kind}": how(kind) for kind in EXACT_KINDS for name, how in (("plain", plain), ("live", live_over))},
    "plain-remote": remote,
    "live-remote": remote_live,
}
ALL = {
    **EXACT,
    "plain-ivf_pq": plain(IndexKind.IVF_PQ),
    "live-ivf_pq": live_over(IndexKind.IVF_PQ),
    "compacted-ivf_pq": compacted(IndexKind.IVF_PQ),
}
every_exact = pytest.mark.parametrize("make_index", EXACT.values(), ids=EXACT.keys())
every = pytest.mark.parametrize("make_index", ALL.values(), ids=ALL.keys())


@every
@pytest.mark.parametrize("dim", [8, 33, 100, 101, 256])
def test_clustered_vectors_of_any_dim(make_index: MakeIndex, dim: int) -> None:
    vectors = make_vectors(3_000, dim, seed=dim)
    ids = np.random.default_rng(1).permutation(12_000)[:3_000].astype(np.int64)
    queries = np.concatenate([vectors[:5], make_vectors(15, dim, seed=dim)])
    expected = oracle(ids, vectors, queries, 10)
    found = make_index(ids, vectors).search(queries, 10)
    assert_true_answers(found, ids, vectors, queries)
    assert (found.record_ids != MISSING_ID).all()
    assert index_recall(found, expected) >= 0.95  # 20 queries of 10: the target of .99 with room for chance
    assert [int(i) for i in found.record_ids[:5, 0]] == [pairs[0][0] for pairs in expected[:5]]


@every_exact
@pytest.mark.parametrize("n", [1, 2, 9, 17, 26, 27, 300])
def test_exact_answers_for_every_k(make_index: MakeIndex, n: int) -> None:
    vectors = make_vectors(n, 24, seed=n)
    ids = np.arange(n, dtype=np.int64) * 3 + 1
    queries = make_vectors(6, 24, seed=99)
    index = make_index(ids, vectors)
    for k in (1, 3, 10, n, n + 5):
        assert_exact_answers(index.search(queries, k), oracle(ids, vectors, queries, k), k)


@every
@pytest.mark.parametrize("n", [0, 1, 3, 260])
def test_few_records_are_all_answered(make_index: MakeIndex, n: int) -> None:
    vectors = make_vectors(n, 16, seed=4)
    ids = np.arange(n, dtype=np.int64)
    queries = make_vectors(3, 16, seed=5)
    found = make_index(ids, vectors).search(queries, n + 2)
    assert_exact_answers(found, oracle(ids, vectors, queries, n + 2), n + 2)


@every
def test_no_queries_give_no_rows(make_index: MakeIndex) -> None:
    index = make_index(np.arange(5_000, dtype=np.int64), make_vectors(5_000, 16))
    found = index.search(np.empty((0, 16), dtype=np.float32), 4)
    assert (found.record_ids.shape, found.scores.shape) == ((0, 4), (0, 4))


@every_exact
def test_equal_vectors_come_in_order_of_record_id(make_index: MakeIndex) -> None:
    # 400 records share 8 vectors, so that the k-th place always lies inside a tie, wider than the candidates kept.
    distinct = make_vectors(8, 40, seed=3)
    ids = np.random.default_rng(2).permutation(400).astype(np.int64)
    vectors = distinct[np.arange(400) % 8]
    queries = np.tile(distinct, (8, 1))  # enough of them that FAISS multiplies matrices, too
    found = make_index(ids, vectors).search(queries, 20)
    for row in range(64):
        assert found.record_ids[row].tolist() == sorted(ids[row % 8 :: 8].tolist())[:20]
        np.testing.assert_allclose(found.scores[row], 1.0, atol=SCORE_TOLERANCE)


def test_flat_does_not_rely_on_how_faiss_breaks_ties() -> None:
    class LastRowsFirst:
        """A FAISS that keeps the last of equal rows; its documentation promises nothing."""

        METRIC_INNER_PRODUCT = 0

        def omp_set_num_threads(self, threads: int) -> None: ...

        def knn(self, queries: Vectors, rows: Vectors, k: int, metric: int) -> tuple[None, NDArray[np.int64]]:
            return None, np.argsort(queries @ rows.T, axis=1, kind="stable")[:, : -k - 1 : -1]

    vectors = np.repeat(make_vectors(4, 16, n_groups=4), 100, axis=0)
    index = build(np.arange(400), vectors, IndexSpec(kind=IndexKind.FLAT))
    assert isinstance(index, FlatIndex)
    index.faiss = LastRowsFirst()
    assert index.search(vectors[::100], 3).record_ids.tolist() == [[i, i + 1, i + 2] for i in (0, 100, 200, 300)]


@every
def test_duplicates_fill_k_with_the_best_score(make_index: MakeIndex) -> None:
    distinct = make_vectors(50, 32, seed=6, n_groups=50)
    ids = np.arange(6_000, dtype=np.int64)
    vectors = distinct[ids % 50]
    found = make_index(ids, vectors).search(distinct, 30)
    assert_true_answers(found, ids, vectors, distinct)
    np.testing.assert_allclose(found.scores, 1.0, atol=SCORE_TOLERANCE)
    assert (found.record_ids % 50 == np.arange(50)[:, None]).all()


def test_ivf_pq_answers_ties_among_its_candidates_in_order_of_record_id() -> None:
    # 20 records share a vector, all of them candidates: the k-th place lies inside the tie.
    distinct = make_vectors(300, 32, seed=6, n_groups=300)
    ids = np.random.default_rng(2).permutation(6_000).astype(np.int64)
    spec = IndexSpec(kind=IndexKind.IVF_PQ, nlist=64, nprobe=64, rerank=40)
    found = build(ids, distinct[np.arange(6_000) % 300], spec).search(distinct, 10)
    for number in range(300):
        assert found.record_ids[number].tolist() == sorted(ids[number::300].tolist())[:10]


@every
def test_one_vector_for_all_records(make_index: MakeIndex) -> None:
    vectors = np.repeat(make_vectors(1, 20, seed=8), 5_000, axis=0)
    ids = np.arange(5_000, dtype=np.int64)
    found = make_index(ids, vectors).search(vectors[:3], 12)
    assert_true_answers(found, ids, vectors, vectors[:3])
    assert (found.record_ids != MISSING_ID).all()


@every
def test_ids_may_be_sparse_and_large(make_index: MakeIndex) -> None:
    ids = np.sort(np.random.default_rng(3).integers(0, 2**40, 5_000))
    vectors = make_vectors(5_000, 16, seed=9)
    found = make_index(ids, vectors).search(vectors[::500], 3)
    assert found.record_ids[:, 0].tolist() == ids[::500].tolist()
    assert_true_answers(found, ids, vectors, vectors[::500])


def masks(ids: Ids) -> dict[str, Allowed]:
    length = int(ids.max()) + 1
    random = np.random.default_rng(7)
    few = np.zeros(length, dtype=np.bool_)
    few[ids[[5, 70, 4_000]]] = True
    half = random.random(length) < 0.5
    return {
        "none": np.zeros(length, dtype=np.bool_),
        "no length": np.zeros(0, dtype=np.bool_),
        "all": np.ones(length, dtype=np.bool_),
        "longer than the ids": np.ones(length + 50, dtype=np.bool_),
        "few": few,
        "half": half,
        "short half": half[: length // 2],
        "a tenth of a percent": random.random(length) < 0.001,
    }


@every_exact
def test_allowed_masks_exactly(make_index: MakeIndex) -> None:
    ids = np.random.default_rng(1).permutation(9_000)[:5_000].astype(np.int64)
    vectors = make_vectors(5_000, 24, seed=2)
    queries = make_vectors(8, 24, seed=3)
    index = make_index(ids, vectors)
    for name, allowed in masks(ids).items():
        found = index.search(queries, 10, allowed)
        try:
            expected = oracle(ids, vectors, queries, 10, allowed)
            assert_exact_answers(found, expected, 10)
            assert_exact_answers(index.search(queries[:2], 10, allowed), expected[:2], 10)  # few are scored otherwise
        except AssertionError as error:
            raise AssertionError(name) from error


@every
def test_allowed_masks_fill_k_and_never_leak(make_index: MakeIndex) -> None:
    ids = np.random.default_rng(1).permutation(18_000)[:12_000].astype(np.int64)
    vectors = make_vectors(12_000, 24, seed=2)
    queries = make_vectors(8, 24, seed=3)
    index = make_index(ids, vectors)
    for name, allowed in masks(ids).items():
        found = index.search(queries, 10, allowed)
        expected = oracle(ids, vectors, queries, 10, allowed)
        assert_true_answers(found, ids, vectors, queries)
        assert index.search(queries[:2], 10, allowed).scores.tolist() == found.scores[:2].tolist(), name
        there = found.record_ids != MISSING_ID
        assert there.sum(axis=1).tolist() == [len(pairs) for pairs in expected], name
        assert all(i < len(allowed) and allowed[i] for i in found.record_ids[there].tolist()), name
        assert not there.any() or index_recall(found, expected) >= 0.95, name


@pytest.mark.parametrize("with_selector", [True, False])
def test_ivf_pq_finds_far_records_when_all_near_ones_are_filtered_away(with_selector: bool) -> None:
    # The half of the groups that is nearest to the query is not allowed. Groups overlap, so the nearest lists hold some
    # allowed rows, enough to fill k, but not the best.
    random = np.random.default_rng(0)
    scale = (1.0 + np.arange(64)) ** -0.5
    centres = random.standard_normal((400, 64)) * scale
    groups = random.integers(0, 400, 20_000)
    spread = centres[groups] + 0.5 * random.standard_normal((20_000, 64)) * scale
    vectors = (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    ids = np.arange(20_000, dtype=np.int64)
    index = build(ids, vectors, IndexSpec(kind=IndexKind.IVF_PQ))
    assert isinstance(index, IvfPqIndex)
    assert index._has_selector, "faiss >= 1.10 filters fast scans; where one does not, the other road is taken"
    index._has_selector = with_selector
    recalls = []
    for query in vectors[:20]:
        nearness = centres @ query
        allowed = (nearness < np.median(nearness))[groups]
        found = index.search(query[None], 10, allowed)
        assert allowed[found.record_ids[0]].all()
        recalls.append(index_recall(found, oracle(ids, vectors, query[None], 10, allowed)))
    assert np.mean(recalls) >= 0.9


def test_ivf_pq_reaches_its_target_for_every_k() -> None:
    vectors = make_vectors(20_000, 64, seed=5)
    ids, queries = np.arange(19_900, dtype=np.int64), vectors[19_900:]
    index = build(ids, vectors[:19_900], IndexSpec(kind=IndexKind.IVF_PQ, target_recall=0.99))
    expected = oracle(ids, vectors[:19_900], queries, 100)
    for k in (1, 10, 30, 100):
        found = index.search(queries, k)
        assert index_recall(found, [pairs[:k] for pairs in expected]) >= 0.985, k


@every
def test_scores_do_not_depend_on_the_batch(make_index: MakeIndex) -> None:
    ids = np.arange(5_000, dtype=np.int64)
    vectors = make_vectors(5_000, 100, seed=11)
    queries = vectors[:70]
    index = make_index(ids, vectors)
    together = index.search(queries, 5)
    alone = [index.search(queries[i : i + 1], 5) for i in range(70)]
    shared = together.record_ids == np.concatenate([one.record_ids for one in alone])
    assert shared.mean() > 0.99  # an approximate search may look at other candidates in a batch
    assert (together.scores == np.concatenate([one.scores for one in alone]))[shared].all()


@every
def test_many_queries_are_answered_in_blocks_as_one_by_one(make_index: MakeIndex) -> None:
    ids = np.arange(5_000, dtype=np.int64)
    vectors = make_vectors(5_000, 16, seed=12)
    queries = make_vectors(4_000, 16, seed=13)
    index = make_index(ids, vectors)
    found = index.search(queries, 3)
    for start in (0, 1_599, 1_600, 3_999):
        assert index.search(queries[start : start + 1], 3).scores.tolist() == [found.scores[start].tolist()]


@every
def test_wrong_arguments_are_refused_by_name(make_index: MakeIndex) -> None:
    index = make_index(np.arange(300, dtype=np.int64), make_vectors(300, 16))
    query = make_vectors(1, 16, seed=1)
    with pytest.raises(InvalidKError, match="k is 0"):
        index.search(query, 0)
    with pytest.raises(WrongDimError, match=r"17 dimensions.* has 16"):
        index.search(make_vectors(1, 17), 1)
    with pytest.raises(InvalidVectorError, match=r"shape \(16,\)"):
        index.search(query[0], 1)
    with pytest.raises(InvalidVectorError, match=r"vector 0 has length 2\.0000"):
        index.search(query * 2, 1)
    for bad in (np.nan, np.inf):
        broken = np.concatenate([query, query])
        broken[1, 3] = bad
        with pytest.raises(InvalidVectorError, match="vector 1 holds NaN or infinity"):
            index.search(broken, 1)
    with pytest.raises(InvalidMaskError, match="int64"):
        index.search(query, 1, np.arange(3))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", list(IndexKind))
def test_build_refuses_wrong_rows(kind: IndexKind) -> None:
    spec = IndexSpec(kind=kind)
    vectors = make_vectors(3, 16)
    with pytest.raises(InvalidIdError, match="record id -4 is negative"):
        build([0, -4, 2], vectors, spec)
    with pytest.raises(InvalidIdError, match="record id 7 is there twice"):
        build([7, 1, 7], vectors, spec)
    with pytest.raises(InvalidIdError, match="2 record ids for 3 vectors"):
        build([7, 1], vectors, spec)
    with pytest.raises(InvalidVectorError, match="vector 2 has length 0"):
        build([1, 2, 3], vectors * np.array([[1], [1], [0]], dtype=np.float32), spec)
