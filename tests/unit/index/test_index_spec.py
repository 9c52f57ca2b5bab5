"""The choice of an index, and what building by it promises."""

import sys
import threading
from dataclasses import replace

import faiss
import numpy as np
import pytest

from index.backends.exact import ExactIndex
from index.backends.faiss_ivf import IvfPqIndex
from index.backends.rows import Rows
from index.errors import BackendMissingError, InvalidSpecError, InvalidVectorError
from index.factory import build, has_few_lists
from index.spec import MIN_IVF_ROWS, IndexKind, IndexSpec, choose_nlist, choose_pq_m, choose_spec
from index.types import Vectors

IVF = IndexSpec(kind=IndexKind.IVF_PQ)


def make_vectors(n: int, dim: int, seed: int = 0) -> Vectors:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, n // 12), dim))
    vectors = centres[random.integers(0, len(centres), n)] + 0.3 * random.standard_normal((n, dim))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def centres_of(index: IvfPqIndex) -> Vectors:
    centres: Vectors = index._codes.quantizer.reconstruct_n(0, index.spec.nlist)
    return centres


@pytest.mark.parametrize(
    ("n", "dim", "kind"),
    [
        (0, 256, IndexKind.EXACT),
        (10_000, 256, IndexKind.EXACT),
        (10_001, 256, IndexKind.IVF_PQ),
        (20_000, 128, IndexKind.EXACT),
        (20_001, 128, IndexKind.IVF_PQ),
        (1_000_000, 64, IndexKind.IVF_PQ),
        (255, 100_000, IndexKind.EXACT),
    ],
)
def test_small_collections_are_searched_exactly(n: int, dim: int, kind: IndexKind) -> None:
    assert choose_spec(n, dim).kind is kind


@pytest.mark.parametrize(("n", "nlist"), [(1, 1), (10_000, 128), (100_000, 256), (1_000_000, 1_024)])
def test_lists_grow_with_the_square_root(n: int, nlist: int) -> None:
    assert choose_nlist(n) == nlist


@pytest.mark.parametrize(
    ("dim", "m"), [(1, 1), (2, 1), (3, 1), (8, 4), (100, 50), (101, 101), (250, 125), (256, 128), (75, 25)]
)
def test_codes_fit_the_dim(dim: int, m: int) -> None:
    assert choose_pq_m(dim) == m


def test_codes_divide_every_dim_with_at_least_a_code_for_four_numbers() -> None:
    for dim in range(1, 1_100):
        m = choose_pq_m(dim)
        assert dim % m == 0
        assert 4 * m >= dim


@pytest.mark.parametrize("field", ["nlist", "nprobe", "rerank"])
def test_negative_parameters_are_refused(field: str) -> None:
    with pytest.raises(InvalidSpecError, match=f"{field} is -1"):
        IndexSpec(kind=IndexKind.IVF_PQ, **{field: -1})


def test_half_tuned_parameters_are_refused() -> None:
    with pytest.raises(InvalidSpecError, match="nprobe is 4 and rerank 0"):
        replace(IVF, nprobe=4)


@pytest.mark.parametrize("target", [0.0, -1.0, 1.01, float("nan")])
def test_a_target_is_a_share(target: float) -> None:
    with pytest.raises(InvalidSpecError, match="target_recall"):
        replace(IVF, target_recall=target)


def test_index_recall_is_what_other_queries_get() -> None:
    vectors = make_vectors(20_300, 48)
    ids = np.arange(20_000)
    index = build(ids, vectors[:20_000], IVF)
    assert isinstance(index, IvfPqIndex)
    queries = vectors[20_000:]
    tenth = np.sort(queries.astype(np.float64) @ vectors[:20_000].T.astype(np.float64), axis=1)[:, -10]
    reached = float((index.search(queries, 10).scores >= tenth[:, None] - 1e-6).mean())
    assert index.index_recall >= 0.985  # tuned to .99 on 400 queries, measured on 400 others
    assert abs(reached - index.index_recall) < 0.015
    assert 1 <= index.spec.nprobe <= index.spec.nlist == 128


def test_a_target_out_of_reach_is_not_paid_for() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((8, 32))[random.integers(0, 8, 8_000)] + 0.02 * random.standard_normal((8_000, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    index = build(np.arange(8_000), vectors, replace(IVF, target_recall=1.0))
    everything = build(np.arange(8_000), vectors, replace(IVF, target_recall=1.0, nprobe=index.spec.nlist, rerank=40))
    assert everything.index_recall < 1  # codes cannot tell such vectors apart
    assert index.index_recall >= everything.index_recall - 0.01
    assert index.spec.nprobe < index.spec.nlist


def test_a_higher_target_is_reached_by_more_work() -> None:
    vectors = make_vectors(6_000, 32)
    ids = np.arange(6_000)
    low, high = (build(ids, vectors, replace(IVF, target_recall=t)) for t in (0.6, 0.999))
    assert low.index_recall < high.index_recall
    assert high.index_recall >= 0.995
    assert (low.spec.nprobe, low.spec.rerank) < (high.spec.nprobe, high.spec.rerank)


def test_given_parameters_are_kept_and_measured() -> None:
    vectors = make_vectors(6_000, 32)
    index = build(np.arange(6_000), vectors, replace(IVF, nlist=64, nprobe=1, rerank=3))
    assert (index.spec.nlist, index.spec.nprobe, index.spec.rerank) == (64, 1, 3)
    assert 0.2 < index.index_recall < 0.99


def test_queries_of_the_caller_tune_the_index() -> None:
    vectors = make_vectors(6_000, 32)
    strange = make_vectors(300, 32, seed=77)  # far from every stored vector, and so harder
    plain, tuned = build(np.arange(6_000), vectors, IVF), build(np.arange(6_000), vectors, IVF, queries=strange)
    assert (tuned.spec.nprobe, tuned.spec.rerank) > (plain.spec.nprobe, plain.spec.rerank)
    with pytest.raises(InvalidVectorError, match="vector 0 has length"):
        build(np.arange(6_000), vectors, IVF, queries=strange * 3)


def test_building_twice_gives_the_same_index() -> None:
    vectors = make_vectors(5_000, 32)
    first, second = (build(np.arange(5_000), vectors, IVF) for _ in range(2))
    assert (first.spec, first.index_recall) == (second.spec, second.index_recall)
    queries = make_vectors(50, 32, seed=3)
    assert first.search(queries, 10).record_ids.tolist() == second.search(queries, 10).record_ids.tolist()


def test_what_another_index_learned_is_taken_over() -> None:
    vectors = make_vectors(12_000, 32)
    old = build(np.arange(10_000), vectors[:10_000], IVF)
    new = build(np.arange(11_900), vectors[:11_900], IVF, trained_from=old)
    assert isinstance(old, IvfPqIndex) and isinstance(new, IvfPqIndex)
    assert centres_of(new).tolist() == centres_of(old).tolist()
    assert new.spec == old.spec
    assert (len(new), len(old)) == (11_900, 10_000)
    queries = vectors[11_900:]
    for index in (old, new):
        rows = vectors[: len(index)]
        tenth = np.sort(queries.astype(np.float64) @ rows.T.astype(np.float64), axis=1)[:, -10]
        reached = float((index.search(queries, 10).scores >= tenth[:, None] - 1e-6).mean())
        assert reached >= 0.97  # 100 queries
        assert index.index_recall >= 0.985


@pytest.mark.parametrize("changed", [{"target_recall": 0.9}, {"nlist": 64}, {"nprobe": 4, "rerank": 4}])
def test_another_spec_is_trained_anew(changed: dict[str, float]) -> None:
    vectors = make_vectors(6_000, 32)
    old = build(np.arange(6_000), vectors, IVF)
    spec = replace(IVF, **changed)
    fresh, new = build(np.arange(6_000), vectors, spec), build(np.arange(6_000), vectors, spec, trained_from=old)
    assert (new.spec, new.index_recall) == (fresh.spec, fresh.index_recall)


def test_in_haste_half_as_many_lists_do_until_there_is_time() -> None:
    vectors = make_vectors(24_000, 32)
    chosen = replace(IVF, nlist=0)
    old = build(np.arange(6_000), vectors[:6_000], chosen)
    hasty = build(np.arange(24_000), vectors, chosen, trained_from=old, in_haste=True)
    assert isinstance(old, IvfPqIndex) and isinstance(hasty, IvfPqIndex)
    assert (old.spec.nlist, hasty.spec.nlist) == (64, 64)
    assert centres_of(hasty).tolist() == centres_of(old).tolist()
    assert hasty.index_recall >= chosen.target_recall
    assert (has_few_lists(old), has_few_lists(hasty)) == (False, True)
    calm = build(np.arange(24_000), vectors, chosen, trained_from=hasty)
    assert (calm.spec.nlist, has_few_lists(calm)) == (128, False)


def test_in_haste_a_quarter_of_the_lists_is_too_few() -> None:
    vectors = make_vectors(24_000, 32)
    chosen = replace(IVF, nlist=0)
    old = build(np.arange(1_500), vectors[:1_500], chosen)
    new = build(np.arange(24_000), vectors, chosen, trained_from=old, in_haste=True)
    assert (old.spec.nlist, new.spec.nlist, has_few_lists(new)) == (32, 128, False)


def test_an_exact_index_has_no_lists_to_lack() -> None:
    assert not has_few_lists(build(np.arange(300), make_vectors(300, 32), IndexSpec(kind=IndexKind.EXACT)))


def test_sentences_of_another_kind_are_learned_anew() -> None:
    random = np.random.default_rng(1)
    vectors = make_vectors(12_000, 32)
    corner = vectors[:1] + 0.05 * random.standard_normal((6_000, 32))  # all near one stored vector
    vectors[6_000:] = corner / np.linalg.norm(corner, axis=1, keepdims=True)
    old = build(np.arange(6_000), vectors[:6_000], IVF)
    new = build(np.arange(12_000), vectors, replace(IVF, nlist=old.spec.nlist), trained_from=old)
    assert isinstance(old, IvfPqIndex) and isinstance(new, IvfPqIndex)
    assert old.refill(Rows(np.arange(12_000), vectors), are_added=False, threads=1) is None
    assert old.refill(Rows(np.arange(5_000), vectors[:5_000]), are_added=False, threads=1).ntotal == 5_000
    assert centres_of(new).tolist() != centres_of(old).tolist()


@pytest.mark.parametrize("change", ["only added to", "one vector is another", "one record is gone", "fewer"])
def test_codes_are_those_of_the_rows_however_they_came_about(change: str) -> None:
    vectors, ids = make_vectors(9_000, 32), np.arange(9_000)
    old = build(ids[:6_000], vectors[:6_000], IVF)
    assert isinstance(old, IvfPqIndex)
    if change == "one vector is another":
        vectors = vectors.copy()  # the index keeps the array
        vectors[11] = vectors[12]
    elif change == "one record is gone":
        vectors, ids = np.delete(vectors, 11, axis=0), np.delete(ids, 11)
    elif change == "fewer":
        vectors, ids = vectors[:5_000], ids[:5_000]
    rows = Rows(ids, vectors)
    are_added = rows.begin_with(old.rows)
    assert are_added == (change == "only added to")
    expected = faiss.clone_index(old._codes)
    expected.reset()
    expected.add(rows.vectors)
    refilled = old.refill(rows, are_added=are_added, threads=1)
    assert faiss.serialize_index(refilled).tobytes() == faiss.serialize_index(expected).tobytes()


def test_rows_begin_with_others_only_where_ids_and_vectors_are_the_same() -> None:
    vectors = make_vectors(25_000, 4)
    rows = Rows(np.arange(25_000), vectors)
    assert rows.begin_with(Rows(np.arange(24_000), vectors[:24_000].copy()))
    assert rows.begin_with(Rows(np.arange(0), vectors[:0])) and rows.begin_with(rows)
    assert not rows.begin_with(Rows(np.arange(1, 24_001), vectors[:24_000]))
    changed = vectors[:24_000].copy()
    changed[-1, -1] += 0.5
    assert not rows.begin_with(Rows(np.arange(24_000), changed))


def test_lists_that_nearly_reach_the_target_are_tuned_again() -> None:
    vectors = make_vectors(6_000, 32)
    old = build(np.arange(6_000), vectors, IVF)
    assert isinstance(old, IvfPqIndex)
    tuned, old.spec = old.spec, replace(old.spec, nprobe=old.spec.nprobe - old.spec.nprobe // 3)
    new = build(np.arange(1, 6_001), vectors, IVF, trained_from=old)  # other ids, so that recall is measured
    assert isinstance(new, IvfPqIndex)
    assert centres_of(new).tolist() == centres_of(old).tolist()
    assert new.spec == tuned


def test_lists_that_miss_the_target_are_learned_anew() -> None:
    vectors = make_vectors(6_000, 32)
    old = build(np.arange(6_000), vectors, IVF)
    assert isinstance(old, IvfPqIndex)
    old.spec = replace(old.spec, nprobe=1, rerank=3)  # as if it had been tuned for easier queries
    new = build(np.arange(1, 6_001), vectors, IVF, trained_from=old)  # other ids, so that recall is measured
    assert isinstance(new, IvfPqIndex)
    assert new.index_recall >= 0.985
    assert new.spec.nprobe > 2


def test_an_index_of_another_dim_or_kind_is_no_help() -> None:
    vectors = make_vectors(6_000, 32)
    fresh = build(np.arange(6_000), vectors, IVF)
    for old in (build(np.arange(6_000), make_vectors(6_000, 16), IVF), build([], vectors[:0], choose_spec(0, 32))):
        new = build(np.arange(6_000), vectors, IVF, trained_from=old)
        assert (new.spec, new.index_recall) == (fresh.spec, fresh.index_recall)


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 13, 75, 101, 250])
@pytest.mark.parametrize("n", [MIN_IVF_ROWS - 1, MIN_IVF_ROWS, 3_000])
def test_few_rows_of_any_dim_train_without_a_word(n: int, dim: int, capfd: pytest.CaptureFixture[str]) -> None:
    vectors = make_vectors(n, dim)
    index = build(np.arange(n), vectors, replace(IVF, nlist=4_096))
    assert isinstance(index, ExactIndex if n < MIN_IVF_ROWS else IvfPqIndex)
    best = index.search(vectors[:20], 1).scores[:, 0]
    np.testing.assert_allclose(best, 1.0, atol=1e-5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("distinct", [1, 2, 40])
def test_repeated_rows_train_without_a_word(distinct: int, capfd: pytest.CaptureFixture[str]) -> None:
    vectors = make_vectors(distinct, 24)[np.arange(4_000) % distinct]
    found = build(np.arange(4_000), vectors, replace(IVF, nlist=64)).search(vectors[:5], 10)
    np.testing.assert_allclose(found.scores, 1.0, atol=1e-5)
    assert (found.record_ids % distinct == (np.arange(5) % distinct)[:, None]).all()
    assert capfd.readouterr() == ("", "")


def test_a_search_uses_the_threads_it_was_given_on_whatever_thread_it_runs() -> None:
    import faiss

    vectors = make_vectors(4_000, 16)
    index = build(np.arange(4_000), vectors, IVF, search_threads=1)
    seen = []

    def search() -> None:
        faiss.omp_set_num_threads(2)  # what a new thread starts with on a machine of two cores
        index.search(vectors[:1], 3)
        seen.append(faiss.omp_get_max_threads())

    thread = threading.Thread(target=search)
    thread.start()
    thread.join(timeout=30)
    assert seen == [1]


@pytest.mark.parametrize("kind", [IndexKind.FLAT, IndexKind.IVF_PQ])
def test_without_faiss_the_error_says_how_to_install_it(kind: IndexKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(BackendMissingError, match=r"pip install 'samesay\[cpu\]'"):
        build(np.arange(300), make_vectors(300, 8), IndexSpec(kind=kind))


def test_an_exact_index_needs_no_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    vectors = make_vectors(300, 8)
    index = build(np.arange(300), vectors, choose_spec(300, 8))
    assert index.search(vectors[:3], 1).record_ids.tolist() == [[0], [1], [2]]
