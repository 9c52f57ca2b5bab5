"""What is kept of the masks of filters: bounded in bytes and in number, whatever clients ask with."""

import tracemalloc
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest

from app.search.filters import SearchFilter
from app.serving.catalogue import change_terms, masks
from app.serving.catalogue.catalogue import Catalogue
from app.serving.catalogue.entry import Entry
from app.serving.catalogue.masks import FilterMasks
from app.serving.catalogue.terms import Filter, terms_of

N = 100


@pytest.fixture
def catalogue() -> Catalogue:
    made = Catalogue(None)
    made.apply({number: entry(number) for number in range(1, N + 1)}, [])
    return made


def entry(number: int) -> Entry:
    return Entry(f"r{number}", "text", f"g{number % 10}", b'{"user": "user-%d"}' % number)


def one_of(first: int, n: int) -> Filter:
    """A filter of n users from a number on, of whom there are those from 1 to N."""
    wanted = {"metadata": {"user": {"in": [f"user-{number}" for number in range(first, first + n)]}}}
    return SearchFilter.model_validate(wanted).compiled


def answer(first: int, n: int) -> list[int]:
    return [number for number in range(first, first + n) if 1 <= number <= N]


def n_masks(kept: FilterMasks) -> int:
    return len(kept._kept)


def test_ever_new_filters_take_no_more_memory_than_is_allowed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "MOST_BYTES", most := 200_000)
    kept = FilterMasks()
    tracemalloc.start()
    try:
        for first in range(1, 40):
            kept.of(catalogue.view, one_of(first * 100, 300))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.7 * most < taken < 1.5 * most, "what is counted is what it takes"


def test_ever_new_small_filters_are_kept_up_to_a_number(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "MOST_MASKS", 8)
    kept = FilterMasks()
    for first in range(1, 60):
        kept.of(catalogue.view, one_of(first, 1))
        kept.of(catalogue.view, one_of(50, 1))  # asked for again and again
    assert n_masks(kept) == 8
    same = kept.of(catalogue.view, one_of(50, 1))
    assert same is kept.of(catalogue.view, one_of(50, 1)), "the very same array, which indexes know again"


def test_many_releases_together_take_no_more_memory_than_is_allowed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The masks that were asked for last are kept, of whichever release; one of them may be larger than all that."""
    monkeypatch.setattr(masks, "_ALL", WeakSet[FilterMasks]())
    monkeypatch.setattr(masks, "MOST_BYTES_OF_ALL", most := 60_000)
    releases = [FilterMasks() for _ in range(8)]
    asked: list[tuple[FilterMasks, Filter]] = []
    for turn in range(200):
        asked.append((releases[turn * 7 % 8], one_of(turn % 31, 20)))
        release, wanted = asked[-1]
        assert np.flatnonzero(release.of(catalogue.view, wanted)).tolist() == answer(turn % 31, 20)
        assert sum(one._n_bytes for one in releases) <= most
        assert asked[-1][1] in release._kept
    n_kept = sum(map(n_masks, releases))
    assert n_kept > 8, "else this proves nothing"
    newest = list(dict.fromkeys(reversed(asked)))[:n_kept]
    assert all(wanted in release._kept for release, wanted in newest)
    large = releases[0].of(catalogue.view, one_of(1, 1000))
    assert large is releases[0].of(catalogue.view, one_of(1, 1000))
    assert list(map(n_masks, releases)) == [1] + 7 * [0]


def test_one_filter_larger_than_all_that_may_be_kept_is_kept_alone(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "MOST_BYTES", 1000)
    kept = FilterMasks()
    kept.of(catalogue.view, one_of(1, 1))
    large = kept.of(catalogue.view, one_of(1, 300))
    assert n_masks(kept) == 1
    assert large is kept.of(catalogue.view, one_of(1, 300))


def test_masks_stay_right_and_counted_while_records_change(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "MOST_BYTES", 9_000)
    kept, earlier = FilterMasks(), catalogue.view
    for step in range(60):
        catalogue.apply({N + 1 + step: entry(0)}, [])  # masks grow
        for first in (1, 1 + step, 90):
            for view in (catalogue.view, earlier):  # a request that takes its time
                found = np.flatnonzero(kept.of(view, one_of(first, 20))).tolist()
                assert found == answer(first, 20)
    assert kept._n_bytes == sum(one.n_bytes for one in kept._kept.values()) <= 9_000


def test_a_new_filter_looks_at_few_changes_again(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each filter looked at all of them: half a second beside 50,000, in which nobody else was answered."""
    looked_at: list[object] = []

    def look(group: str | None, metadata: dict[str, Any]) -> list[bytes]:
        looked_at.append(metadata)
        return terms_of(group, metadata)

    monkeypatch.setattr(change_terms, "terms_of", look)
    monkeypatch.setattr(change_terms, "BLOCK", 30)
    kept = FilterMasks()
    for first in range(1, 90):
        assert np.flatnonzero(kept.of(catalogue.view, one_of(first, 20))).tolist() == answer(first, 20)
    assert len(looked_at) == 90 + 89 * 10, "90 together, and the last 10 by each filter"


@pytest.mark.parametrize("block", [1, 7, 30, 1000])
def test_blocks_of_changes_make_no_difference(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records come, change, go and come back; views of then are asked after those of now, and masks are brought on."""
    monkeypatch.setattr(change_terms, "BLOCK", block)
    random, made, kept = np.random.default_rng(block), Catalogue(None), FilterMasks()
    records: dict[int, int] = {}
    moments = [(made.view, dict(records))]
    for _ in range(120):
        numbers = random.permutation(40)[: random.integers(1, 9)].tolist()
        users = {number: int(random.integers(1, 20)) for number in numbers[1:]}
        made.apply({number: entry(user) for number, user in users.items()}, numbers[:1])
        records = {number: user for number, user in {**records, **users}.items() if number != numbers[0]}
        moments.append((made.view, dict(records)))
        for view, then in (moments[-1], moments[random.integers(len(moments))]):
            first, n = int(random.integers(20)), int(random.integers(1, 5))
            wanted = [number for number, user in then.items() if first <= user < first + n]
            assert np.flatnonzero(kept.of(view, one_of(first, n))).tolist() == sorted(wanted)
