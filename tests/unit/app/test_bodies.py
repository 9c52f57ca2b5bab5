"""What is refused in a body, and that the answer says where."""

import json
import time

import pytest
from pydantic import BaseModel, Field

from app.errors import InvalidValueError, MalformedBodyError
from app.group.schemas import GroupPut
from app.http_body import parse_body
from app.record.batch import parse_batch
from app.record.schemas import RecordPut
from app.schemas import Strict
from app.search.schemas import SearchRequest
from app.unknown_names import fields_at


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"text": ""}', "/text"),
        (b'{"text": " \\n\\t "}', "/text"),
        (b'{"text": "a\\u0000b"}', "/text"),
        (b'{"text": "\\ud800"}', "/text"),
        (b'{"text": 5}', "/text"),
        (b"{}", "/text"),
        (b'{"text": "a", "group": "a/b"}', "/group"),
        (b'{"text": "a", "group": ""}', "/group"),
        (b'{"text": "a", "role": "nobody"}', "/role"),
        (b'{"text": "a", "metadata": {"x": {"y": 1}}}', "/metadata/x"),
        (b'{"text": "a", "metadata": {"x": NaN}}', "/metadata/x"),
        (b'{"text": "a", "metadata": {"x": "a\\u0000"}}', "/metadata"),
        (b'{"text": "a", "metadata": {"x": 99999999999999999999}}', "/metadata"),
        (b'{"text": "a", "metadata": {"x": "' + b"y" * 17_000 + b'"}}', "/metadata"),
        (b'{"text": "a", "labels": "tag"}', "/labels"),
        (b'{"text": "a", "unknown": 1}', "/unknown"),
        (b'{"text": "' + b"x" * 100_001 + b'"}', "/text"),
        (b"[]", ""),
    ],
)
def test_a_wrong_record_names_the_place(body: bytes, pointer: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_body(body, RecordPut)
    assert caught.value.errors[0].pointer == pointer


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"text": "\xe4\xbd"}', b"[" * 100_000, b"nul"])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        parse_body(body, RecordPut)


def test_the_longest_text_is_taken_verbatim() -> None:
    text = " " + "退" * 33_332 + "xyz"
    assert len(text.encode()) == 100_000
    assert parse_body(f'{{"text": "{text}"}}'.encode(), RecordPut).text == text


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"query": "a", "k": 0}', "/k"),
        (b'{"query": "a", "k": 1001}', "/k"),
        (b'{"query": "a", "k": "3"}', "/k"),
        (b'{"query": "a", "k": true}', "/k"),
        (b'{"query": "a", "queries": ["b"]}', ""),
        (b"{}", ""),
        (b'{"queries": []}', "/queries"),
        (b'{"queries": ["a", " "]}', "/queries/1"),
        (b'{"query": "a", "min_score": 2}', "/min_score"),
        (b'{"query": "a", "min_score": Infinity}', "/min_score"),
        (b'{"query": "a", "group_by": "label"}', "/group_by"),
    ],
)
def test_a_wrong_search_names_the_place(body: bytes, pointer: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_body(body, SearchRequest)
    assert caught.value.errors[0].pointer == pointer


def test_a_payload_is_any_json_that_can_be_kept() -> None:
    assert parse_body(b'{"payload": [1, {"a": null}]}', GroupPut).payload == [1, {"a": None}]
    for bad in (b"NaN", b'"\\u0000"', b'"\\ud800"', b"123456789012345678901", b"[" * 40 + b"]" * 40):
        with pytest.raises(InvalidValueError) as caught:
            parse_body(b'{"payload": ' + bad + b"}", GroupPut)
        assert caught.value.errors[0].pointer == "/payload"


def test_one_bad_item_never_fails_the_others() -> None:
    batch = parse_batch(
        b'{"upsert": [{"id": "a", "text": "A"}, {"id": "b", "text": ""}, 7, {"id": "a", "text": "again"}],'
        b' "delete": ["c", 5, "a", "\\ud800"]}'
    )
    assert {position: draft.text for position, draft in batch.upserts.items()} == {0: "A"}
    assert batch.deletes == {4: "c"}
    assert {position: (item.id, item.status) for position, item in batch.refused.items()} == {
        1: ("b", 422), 2: (None, 422), 3: ("a", 409), 5: (None, 422), 6: ("a", 409), 7: (None, 422),
    }  # fmt: skip
    assert batch.refused[1].detail is not None and "/upsert/1/text" in batch.refused[1].detail


@pytest.mark.parametrize("body", [b"{}", b'{"upsert": {}}', b'{"delete": "a"}', b'{"other": []}'])
def test_a_batch_of_the_wrong_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidValueError):
        parse_batch(body)


def test_a_search_for_too_many_neighbours_at_once_is_refused() -> None:
    asked = b'{"queries": [%s], "k": 1000}'
    assert len(parse_body(asked % b", ".join([b'"a"'] * 20), SearchRequest).sentences) == 20
    with pytest.raises(InvalidValueError, match="21 queries times k = 1000 is more than 20000 neighbours"):
        parse_body(asked % b", ".join([b'"a"'] * 21), SearchRequest)


KNOWN_TO_SEARCH = "query, queries, k, group_by, filter, min_score, release"
META_REMEDY = "give a string, a number, true or false, or a list of strings"
HALF = "holds half a surrogate pair, which is no character: remove it, or send both halves"


@pytest.mark.parametrize(
    ("schema", "body", "told"),
    [
        (
            SearchRequest,
            b'{"q": "x"}',
            {"/q": f"unknown field; known: {KNOWN_TO_SEARCH}", "": "give either query or queries"},
        ),
        (
            SearchRequest,
            b'{"Query": "x", "query": "a"}',
            {"/Query": f"unknown field; known: {KNOWN_TO_SEARCH}; did you mean query?"},
        ),
        (
            SearchRequest,
            b'{"query": "a", "q": 1, "filter": {"groups": "g", "group": "g"}}',
            {
                "/filter/groups": "unknown field; known: group, metadata; did you mean group?",
                "/q": f"unknown field; known: {KNOWN_TO_SEARCH}",
            },
        ),
        (SearchRequest, b'{"query": "\\ud800"}', {"/query": HALF}),
        (SearchRequest, b'{"queries": ["a", "\\udc00"]}', {"/queries/1": HALF}),
        (GroupPut, b'{"title": "\\ud800"}', {"/title": HALF}),
        (RecordPut, b'{"text": "a", "metadata": {"nested": {"x": 1}}}', {"/metadata/nested": META_REMEDY}),
        (
            RecordPut,
            b'{"text": "a", "metadata": {"a": null, "b": 1, "c": [1, "x"]}}',
            {"/metadata/a": META_REMEDY, "/metadata/c": META_REMEDY},
        ),
        (
            RecordPut,
            b'{"txt": "a"}',
            {
                "/text": "field required",
                "/txt": "unknown field; known: text, group, labels, role, metadata, source; did you mean text?",
            },
        ),
    ],
)
def test_each_fault_is_told_once_where_it_is_and_with_the_remedy(
    schema: type[BaseModel], body: bytes, told: dict[str, str]
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_body(body, schema)
    assert [(error.pointer, error.detail) for error in caught.value.errors] == list(told.items())


def test_an_unknown_field_of_a_batch_item_is_told_with_those_that_are_known() -> None:
    batch = parse_batch(b'{"upsert": [{"id": "a", "text": "A", "groop": "g"}, {"id": "b", "text": "B"}]}')
    assert batch.upserts.keys() == {1}
    assert batch.refused[0].detail == (
        "/upsert/0/groop: unknown field; known: text, group, labels, role, metadata, source, id; did you mean group?"
    )


def test_long_names_and_many_of_them_are_told_in_a_moment() -> None:
    body = json.dumps({f"{'query' * 20_000}{i}": 1 for i in range(100)} | {str(i): 1 for i in range(10_000)}).encode()
    started = time.perf_counter()
    with pytest.raises(InvalidValueError) as caught:
        parse_body(body, SearchRequest)
    assert time.perf_counter() - started < 2
    assert len(caught.value.errors) == 101


class _Part(Strict):
    name: str = Field(default="", alias="Name")


class _Nest(Strict):
    several: list[_Part] | None = None
    by_name: dict[str, tuple[_Part, ...]] = Field(default={})


def test_fields_are_found_through_lists_and_dictionaries() -> None:
    assert fields_at(_Nest, []) == ["several", "by_name"]
    assert fields_at(_Nest, ["several", 3]) == fields_at(_Nest, ["by_name", "x", 0]) == ["Name"]
    assert fields_at(_Nest, ["nowhere", 3]) == fields_at(_Nest, ["several", 3, "Name", "deeper"]) == []
