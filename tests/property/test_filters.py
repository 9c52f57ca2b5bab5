"""Filters as clients write them, compiled to terms, against a plain reading of the same JSON."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.http.body import parse_body
from app.search.schemas import SearchRequest
from app.serving.catalogue.posting_table import PostingTable, collect
from app.serving.catalogue.postings import Postings
from app.serving.catalogue.terms import Filter, terms_of
from tests.fakes.plain_filter import passes

FIELDS = st.sampled_from(["year", "lang", "yea", "group", ""])
NUMBERS = st.sampled_from(
    [0, -0.0, 0.5, 1, 1.0, -1, -1.5, 2, 3, 2**53, 2**53 + 1, float(2**53), 1e300, -(2**63), 2**63 - 1]
)
STRINGS = st.sampled_from(["", "1", "a", "b", "ab", "é", "退", "\uffff", "\U00010000", "2024-01-02", "2024-01-10"])
BOOLEANS = st.booleans()
GROUPS = st.none() | st.sampled_from(["", "a", "b", "g", "refund"])
METADATA = st.dictionaries(FIELDS, st.one_of(NUMBERS, STRINGS, BOOLEANS, st.lists(STRINGS, max_size=3)), max_size=4)
RECORDS = st.lists(st.tuples(GROUPS, METADATA), max_size=8)


def range_over(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """One end, or two."""
    low = st.tuples(st.sampled_from(["gt", "gte"]), values)
    high = st.tuples(st.sampled_from(["lt", "lte"]), values)
    return st.one_of(st.tuples(low), st.tuples(high), st.tuples(low, high), st.tuples(high, low)).map(dict)


def some_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of several values."""
    return st.lists(values, min_size=1, max_size=4).map(lambda wanted: {"in": wanted})


WISHES = st.one_of(
    NUMBERS,
    STRINGS,
    BOOLEANS,
    some_of(NUMBERS),
    some_of(STRINGS),
    some_of(BOOLEANS),
    range_over(NUMBERS),
    range_over(STRINGS),
)
GROUP_WISHES = GROUPS.filter(lambda group: group is not None)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "group": GROUP_WISHES | some_of(GROUP_WISHES),
        "metadata": st.dictionaries(FIELDS, WISHES, min_size=1, max_size=2),
    },
).filter(bool)


def compiled(wanted: dict[str, Any]) -> Filter:
    """The filter of such a request, by way of its bytes."""
    request = parse_body(json.dumps({"query": "a", "filter": wanted}).encode(), SearchRequest)
    assert request.filter is not None
    return request.filter.compiled


@settings(max_examples=600)
@given(FILTERS, RECORDS)
def test_a_filter_means_what_it_says(wanted: dict[str, Any], records: list[tuple[str | None, dict[str, Any]]]) -> None:
    expected = [passes(wanted, group, metadata) for group, metadata in records]
    terms = [terms_of(group, json.loads(json.dumps(metadata))) for group, metadata in records]
    with tempfile.TemporaryDirectory() as folder:
        collect(terms).save(Path(folder))
        mask = Postings(PostingTable.load(Path(folder))).mask(compiled(wanted), len(records))

    assert [compiled(wanted).matches(of_record) for of_record in terms] == expected
    assert mask.tolist() == expected


def test_the_order_of_what_is_written_does_not_matter() -> None:
    one = compiled({"group": {"in": ["a", "b"]}, "metadata": {"x": {"gt": 1, "lte": 2}, "y": {"in": [1, 2.0]}}})
    other = compiled({"metadata": {"y": {"in": [2, 1.0, 1]}, "x": {"lte": 2, "gt": 1}}, "group": {"in": ["b", "a"]}})

    assert one == other
    assert hash(one) == hash(other)
    assert one != compiled({"group": {"in": ["a", "b"]}, "metadata": {"x": {"gt": 1, "lt": 2}, "y": {"in": [1, 2.0]}}})
