"""Postings, written and mapped again, against a plain scan of the rows' terms."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.serving.catalogue.posting_table import PostingTable, collect
from app.serving.catalogue.postings import Postings
from app.serving.catalogue.terms import GROUPS, AnyOf, Between, Filter, group_term

GROUP_TERMS = st.text("xyé", max_size=2).map(group_term)
OTHER_TERMS = st.binary(max_size=3).filter(lambda term: not term.startswith(b"g"))
TERMS = st.one_of(GROUP_TERMS, OTHER_TERMS, st.sampled_from([b"a", b"a\0", b"ab", b"f\xff", b"h", b"\xff\xff"]))
ROWS = st.lists(st.lists(TERMS, max_size=5, unique=True), max_size=12)
RANGES = st.tuples(TERMS, TERMS).map(lambda ends: Between(*ends))
CONDITIONS = st.one_of(st.frozensets(TERMS, max_size=4).map(AnyOf), RANGES, st.just(GROUPS))


def written(rows: list[list[bytes]]) -> tuple[Postings, list[str]]:
    """Postings of these rows; the maps outlive the folder."""
    with tempfile.TemporaryDirectory() as folder:
        names = collect(iter(rows)).save(Path(folder))
        assert sorted(path.name for path in Path(folder).iterdir()) == sorted(names)
        return Postings(PostingTable.load(Path(folder))), names


def meets(terms: list[bytes], condition: AnyOf | Between) -> bool:
    """What the condition says, said again."""
    if isinstance(condition, AnyOf):
        return any(term in condition.terms for term in terms)
    return any(condition.low <= term and term < condition.high for term in terms)


@settings(max_examples=300)
@given(ROWS, st.lists(CONDITIONS, max_size=3))
def test_the_mask_is_that_of_a_scan(rows: list[list[bytes]], conditions: list[AnyOf | Between]) -> None:
    postings, _ = written(rows)

    mask = postings.mask(Filter(tuple(conditions)), len(rows))

    assert mask.dtype == np.bool_
    assert mask.tolist() == [all(meets(terms, condition) for condition in conditions) for terms in rows]


@settings(max_examples=300)
@given(ROWS, CONDITIONS, TERMS)
def test_rows_counts_and_groups_are_those_of_a_scan(
    rows: list[list[bytes]], condition: AnyOf | Between, asked: bytes
) -> None:
    postings, _ = written(rows)
    terms = {term for row in rows for term in row}
    groups = sorted(term[1:].decode() for term in terms if term[:1] == b"g")

    found = {int(row) for part in postings.rows_of(condition) for row in part}
    assert found == {number for number, row in enumerate(rows) if meets(row, condition)}
    assert all(part.dtype == np.int32 for part in postings.rows_of(condition))
    assert postings.n_terms == len(terms)
    assert [postings.count(term) for term in (asked, *terms)] == [
        sum(term in row for row in rows) for term in (asked, *terms)
    ]
    assert list(postings.groups()) == groups
    assert postings.n_groups == len(groups)


@settings(max_examples=500)
@given(st.lists(st.tuples(st.lists(TERMS, max_size=4, unique=True), st.sampled_from(["stays", "goes", "comes"]))))
def test_moved_and_merged_tables_are_those_of_the_rows_they_end_up_with(rows: list[tuple[list[bytes], str]]) -> None:
    old = [number for number, (_, fate) in enumerate(rows) if fate != "comes"]
    new = [number for number, (_, fate) in enumerate(rows) if fate != "goes"]
    place = {number: position for position, number in enumerate(new)}
    added = [number for number in new if rows[number][1] == "comes"]
    to, to_of_added = (np.array([place.get(number, -1) for number in numbers], np.int64) for numbers in (old, added))

    before = collect([rows[number][0] for number in old])
    found = before.moved(to).merged(collect([rows[number][0] for number in added]).moved(to_of_added))

    assert_same(found, collect([rows[number][0] for number in new]))
    assert_same(before, collect([rows[number][0] for number in old]))


def assert_same(found: PostingTable, wanted: PostingTable) -> None:
    for name in ("terms", "term_starts", "rows", "row_starts"):
        ours, theirs = getattr(found, name), getattr(wanted, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_no_rows_and_rows_without_terms_work() -> None:
    for rows in ([], [[]], [[], []]):
        postings, names = written(rows)

        assert postings.n_terms == postings.n_groups == postings.count(b"a") == 0
        assert list(postings.groups()) == []
        assert postings.mask(Filter(()), len(rows)).tolist() == [True] * len(rows)
        assert postings.mask(Filter((Between(b"", b"\xff"),)), len(rows)).tolist() == [False] * len(rows)
        assert len(names) == 4


def test_what_is_mapped_is_neither_copied_nor_writable() -> None:
    postings, _ = written([[b"a", b"b"], [b"b"]])

    (rows,) = postings.rows_of(AnyOf(frozenset([b"b"])))

    assert rows.tolist() == [0, 1]
    assert type(rows) is np.ndarray
    assert not rows.flags.owndata
    assert not rows.flags.writeable
