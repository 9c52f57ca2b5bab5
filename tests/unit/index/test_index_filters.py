"""Masks over rows: what is derived from them, and that a mask that comes again is not prepared again."""

import gc
import weakref

import numpy as np
import pytest

from index.backends.filters import Lists, RowFilter
from index.factory import build
from index.spec import IndexKind, IndexSpec
from index.types import Vectors
from tests.fakes.compacting import CompactingIndex


def make_vectors(n: int, dim: int = 16, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def lists_of(n: int, nlist: int) -> Lists:
    return Lists((np.arange(n) % nlist).astype(np.int32), nlist)


def test_what_is_derived_from_a_mask() -> None:
    mask = np.array([True, False, True, True, False, False, True, False, True])
    rows = RowFilter(mask, lists_of(9, 4))
    assert rows.count == 5
    assert rows.rows.tolist() == [0, 2, 3, 6, 8]
    assert rows.bits.tolist() == [0b01001101, 1]
    assert rows.rows_per_list.tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.79, 0.81, 0.98, 1.0])
def test_rows_of_each_list_are_counted_whatever_is_left(share: float) -> None:
    random = np.random.default_rng(4)
    mask, of_rows = random.random(3_000) < share, random.integers(0, 7, 3_000).astype(np.int32)
    counted = RowFilter(mask, Lists(of_rows, 8)).rows_per_list
    assert counted.tolist() == [sum(1 for row in range(3_000) if mask[row] and of_rows[row] == i) for i in range(8)]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_a_mask_drawn_by_chance_is_scattered(share: float) -> None:
    mask = np.random.default_rng(1).random(50_000) < share
    assert RowFilter(mask, lists_of(50_000, 256)).is_scattered


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_a_mask_of_whole_lists_is_not_scattered(share: float) -> None:
    mask = np.arange(50_000) % 256 < max(1, share * 256)
    assert not RowFilter(mask, lists_of(50_000, 256)).is_scattered


@pytest.mark.parametrize("allowed", [True, False])
def test_a_mask_of_all_rows_or_none_is_scattered(allowed: bool) -> None:
    assert RowFilter(np.full(1_000, allowed), lists_of(1_000, 16)).is_scattered


@pytest.mark.parametrize("dead", [100, 9_000])
def test_both_filters_together(dead: int) -> None:
    random = np.random.default_rng(2)
    mask, live = random.random(10_000) < 0.3, np.ones(10_000, dtype=np.bool_)
    live[random.permutation(10_000)[:dead]] = False
    both = RowFilter(mask, lists_of(10_000, 32)).among(RowFilter(live, lists_of(10_000, 32)))
    assert both.rows.tolist() == [row for row in range(10_000) if mask[row] and live[row]]
    assert both.count == len(both.rows)
    left = np.bincount(both.rows % 32, minlength=32)
    assert np.abs(both.rows_per_list - left).sum() <= (100 if dead == 100 else 0)  # few dead rows may be neglected


@pytest.mark.parametrize("kind", list(IndexKind))
def test_a_mask_that_comes_again_is_not_prepared_again(kind: IndexKind) -> None:
    index = build(np.arange(6_000), make_vectors(6_000), IndexSpec(kind=kind))
    mask = np.arange(6_000) % 3 == 0
    live, other = (index.filter_rows(np.arange(6_000) % 1_000 != gone) for gone in (0, 1))
    assert index.filter_allowed(mask, None) is index.filter_allowed(mask, None)
    assert index.filter_allowed(mask, live) is index.filter_allowed(mask, live)
    assert index.filter_allowed(mask.copy(), None) is not index.filter_allowed(mask, None)
    assert (index.filter_allowed(mask, live).mask == (mask & live.mask)).all()
    assert (index.filter_allowed(mask, other).mask == (mask & other.mask)).all()
    assert (index.filter_allowed(mask, None).mask == mask).all()


def test_a_prepared_mask_goes_with_the_mask() -> None:
    index = build(np.arange(6_000), make_vectors(6_000), IndexSpec(kind=IndexKind.IVF_PQ))
    mask = np.arange(6_000) % 3 == 0
    prepared = weakref.ref(index.filter_allowed(mask, None))
    assert prepared() is not None
    del mask
    assert prepared() is None


def test_masks_that_lie_where_others_lay_are_told_apart() -> None:
    index = build(np.arange(300), make_vectors(300), IndexSpec(kind=IndexKind.EXACT))
    query = make_vectors(1, seed=1)
    for wanted in range(300):
        mask = np.zeros(300, dtype=np.bool_)  # Python gives it the memory of the last one
        mask[wanted] = True
        assert index.search(query, 1, mask).record_ids.tolist() == [[wanted]]


def test_a_replaced_index_is_freed_at_once() -> None:
    index = build(np.arange(6_000), make_vectors(6_000), IndexSpec(kind=IndexKind.IVF_PQ))
    mask = np.arange(6_000) % 3 == 0
    index.search(make_vectors(5, seed=1), 10, mask)
    alive = weakref.ref(index)
    gc.disable()
    try:
        del index
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", list(IndexKind))
def test_a_mask_that_comes_again_hides_what_died_meanwhile(kind: IndexKind) -> None:
    vectors = make_vectors(6_000)
    live = CompactingIndex(
        build(np.arange(6_000), vectors, IndexSpec(kind=kind)), choose=lambda n, dim: IndexSpec(kind=kind)
    )
    mask = np.arange(7_000) % 2 == 0
    assert live.search(vectors[40:41], 1, mask).record_ids.tolist() == [[40]]
    live.delete(np.array([40]), 1)
    assert live.search(vectors[40:41], 1, mask).record_ids.tolist() != [[40]]
    live.upsert(np.array([6_100, 6_101]), vectors[[40, 40]], 2)
    assert live.search(vectors[40:41], 1, mask).record_ids.tolist() == [[6_100]]
