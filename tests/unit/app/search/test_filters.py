"""What is refused in a filter, where, and with which remedy."""

import json
from typing import Any

import pytest

from app.errors import InvalidValueError
from app.http.body import parse_body
from app.search.filters import MOST_FIELDS, MOST_FILTER_BYTES, MOST_VALUES
from app.search.schemas import SearchRequest


def read(wanted: str) -> SearchRequest:
    return parse_body(f'{{"query": "a", "filter": {wanted}}}'.encode(), SearchRequest)


@pytest.mark.parametrize(
    ("wanted", "pointer", "detail"),
    [
        ("{}", "", "is empty: give group or metadata"),
        ("[]", "", "input should be an object"),
        ('{"language": "en"}', "/language", "unknown field; known: group, metadata"),
        ('{"group": null}', "/group", "holds null: give the name of a group"),
        ('{"group": 1}', "/group", "holds a number: give the name of a group"),
        ('{"group": ["a"]}', "/group", "holds a list: give the name of a group"),
        ('{"group": {"in": []}}', "/group", "has an empty 'in'"),
        ('{"group": {"in": [true]}}', "/group", "holds a boolean: give the name of a group"),
        ('{"group": {"gte": "a"}}', "/group", "has the unknown key 'gte': give the name of a group"),
        ('{"metadata": {}}', "/metadata", "is empty: name a field"),
        ('{"metadata": null}', "/metadata", "input should be an object"),
        ('{"metadata": {"\\ud800": 1}}', "/metadata", "holds half a surrogate pair, which is no character"),
        ('{"metadata": {"a\\u0000": 1}}', "/metadata", "holds a NUL character: remove it"),
        ('{"metadata": {"x": {}}}', "/metadata/x", "is empty: give a value"),
        ('{"metadata": {"x": null}}', "/metadata/x", "holds null: give a value"),
        ('{"metadata": {"x": ["a"]}}', "/metadata/x", "holds a list: give a value"),
        ('{"metadata": {"x": {"eq": 1}}}', "/metadata/x", "has the unknown key 'eq': give a value"),
        ('{"metadata": {"x": NaN}}', "/metadata/x", "holds a number that is not finite"),
        ('{"metadata": {"x": {"gt": -Infinity}}}', "/metadata/x", "holds a number that is not finite"),
        ('{"metadata": {"x": {"lt": 1e999}}}', "/metadata/x", "holds a number that is not finite"),
        ('{"metadata": {"x": 9223372036854775808}}', "/metadata/x", "holds a whole number beyond 64 bits"),
        ('{"metadata": {"x": "\\ud800"}}', "/metadata/x", "holds half a surrogate pair, which is no character"),
        ('{"metadata": {"x": {"in": ["a\\u0000"]}}}', "/metadata/x", "holds a NUL character"),
        ('{"metadata": {"x": {"in": "a"}}}', "/metadata/x", "has a string as 'in': give a value"),
        ('{"metadata": {"x": {"in": []}}}', "/metadata/x", "has an empty 'in', which nothing matches"),
        ('{"metadata": {"x": {"in": [1, "a"]}}}', "/metadata/x", "mixes a number and a string"),
        ('{"metadata": {"x": {"in": [1, true]}}}', "/metadata/x", "mixes a boolean and a number"),
        ('{"metadata": {"x": {"in": [["a"]]}}}', "/metadata/x", "holds a list"),
        ('{"metadata": {"x": {"in": [1], "gt": 0}}}', "/metadata/x", "has ends of a range beside 'in'"),
        ('{"metadata": {"x": {"gt": 1, "gte": 1}}}', "/metadata/x", "has both 'gt' and 'gte': give either"),
        ('{"metadata": {"x": {"lt": 1, "lte": 1}}}', "/metadata/x", "has both 'lt' and 'lte': give either"),
        ('{"metadata": {"x": {"gt": 1, "lt": "2"}}}', "/metadata/x", "mixes a number and a string"),
        ('{"metadata": {"x": {"gt": false}}}', "/metadata/x", "has a boolean as the end of a range"),
        ('{"metadata": {"x": {"gt": null}}}', "/metadata/x", "holds null"),
        ('{"metadata": {"a/b~": null}}', "/metadata/a~1b~0", "holds null"),
    ],
)
def test_a_wrong_filter_names_the_place_and_the_remedy(wanted: str, pointer: str, detail: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        read(wanted)
    assert caught.value.errors[0].pointer == "/filter" + pointer
    assert caught.value.errors[0].detail.startswith(detail)


@pytest.mark.parametrize(
    ("largest", "pointer", "detail"),
    [
        (lambda over: {"metadata": {f"f{n}": n for n in range(MOST_FIELDS + over)}}, "/metadata", "has 33 fields"),
        (lambda over: {"metadata": {"x": {"in": [1] * (MOST_VALUES + over)}}}, "/metadata/x", "has 1001 values"),
        (lambda over: {"group": {"in": ["a"] * (MOST_VALUES + over)}}, "/group", "has 1001 values"),
        (lambda over: {"group": "x" * (MOST_FILTER_BYTES - 1 + over)}, "", "asks for 262145 bytes of values"),
    ],
)
def test_each_limit_is_the_last_that_is_taken(largest: Any, pointer: str, detail: str) -> None:
    assert read(json.dumps(largest(0))).filter is not None
    with pytest.raises(InvalidValueError) as caught:
        read(json.dumps(largest(1)))
    assert caught.value.errors[0].pointer == "/filter" + pointer
    assert caught.value.errors[0].detail.startswith(detail)


def test_no_filter_is_none() -> None:
    assert read("null").filter is None
