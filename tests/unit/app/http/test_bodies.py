"""What is refused in a body, and that the answer says where."""

import gc
import json
import time
import tracemalloc
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from app.errors import InvalidValueError, MalformedBodyError
from app.group.schemas import GroupPut
from app.http.body import parse_body
from app.http.errors import lean_errors
from app.record.batch import parse_batch
from app.record.schemas import RecordPut
from app.schemas import Strict
from app.search.schemas import ClassifyRequest, SearchRequest
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


N = 20_000
MANY: dict[str, tuple[type[BaseModel], dict[str, object], str]] = {
    "unknown fields": (
        SearchRequest,
        {"query": "a"} | {f"x{n}": 1 for n in range(N)},
        "/x0: unknown field; known: query",
    ),
    "labels": (RecordPut, {"text": "a", "labels": [1] * N}, "/labels/0: input should be a valid string"),
    "labels that are right": (RecordPut, {"text": "a", "labels": ["a"] * N}, "/labels: list should have at most 64"),
    "metadata": (RecordPut, {"text": "a", "metadata": {f"x{n}": {} for n in range(N)}}, f"/metadata: has {N} fields"),
    "metadata that may fit": (
        RecordPut,
        {"text": "a", "metadata": {str(n): None for n in range(3000)}},
        f"/metadata/0: {META_REMEDY}",
    ),
    "weights": (ClassifyRequest, {"text": "a", "prior": {f"g{n}": "x" for n in range(N)}}, f"/prior: has {N} fields"),
    "as many weights as may be": (
        ClassifyRequest,
        {"text": "a", "prior": {f"g{n}": "x" for n in range(9000)}},
        "/prior/g0: input should be a valid number",
    ),
    "names of weights": (
        ClassifyRequest,
        {"text": "a", "prior": {f"{n}".zfill(300): 1 for n in range(5000)}},
        f"/prior/{'0' * 256}/[key]: string should have at most 256 characters",
    ),
    "filter": (SearchRequest, {"query": "a", "filter": {f"x{n}": 1 for n in range(N)}}, "/filter/x0: unknown field"),
    "filter's metadata": (
        SearchRequest,
        {"query": "a", "filter": {"metadata": {f"x{n}": None for n in range(N)}}},
        f"/filter/metadata: has {N} fields, the most is 32",
    ),
    "queries": (SearchRequest, {"queries": [1] * 256}, "/queries/0: input should be a valid string"),
    "a lone surrogate beside": (
        SearchRequest,
        {"query": "\ud800"} | {f"x{n}": 1 for n in range(N)},
        "/query: holds half a surrogate",
    ),
}
"""Bodies with very many faults, and how what is told of them begins."""


@pytest.mark.parametrize("kind", MANY)
def test_of_very_many_faults_a_few_are_told_and_no_object_is_made_of_the_others(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, content, told = MANY[kind]
    body, made = json.dumps(content).encode(), list[int]()

    def counted(error: ValidationError) -> Any:
        made.append(error.error_count())
        return lean_errors(error)

    monkeypatch.setattr("app.http.errors.lean_errors", counted)
    monkeypatch.setattr("app.http.body.lean_errors", counted)
    gc.collect()
    tracemalloc.start()
    with pytest.raises(InvalidValueError) as caught:
        parse_body(body, schema)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.detail.startswith(told)
    assert len(caught.value.errors) <= 101
    assert max(made) <= 201
    assert peak < 8_000_000


def test_a_label_alone_is_told_alike_of_a_record_and_of_an_item() -> None:
    with pytest.raises(InvalidValueError, match="/labels: input should be a valid array"):
        parse_body(b'{"text": "a", "labels": "refund"}', RecordPut)
    refused = parse_batch(b'{"upsert": [{"id": "a", "text": "a", "labels": "refund"}]}').refused
    assert [item.detail for item in refused.values()] == ["/upsert/0/labels: input should be a valid array"]


def test_very_many_faults_of_an_item_are_told_as_few_too() -> None:
    unknown = {"id": "a", "text": "A"} | {f"x{n}": 1 for n in range(N)}
    wrong = {"id": "b", "text": "B", "metadata": {str(n): None for n in range(3000)}}
    refused = parse_batch(json.dumps({"upsert": [unknown, wrong, {"id": "c", "text": "C"}]}).encode()).refused
    assert refused.keys() == {0, 1}
    assert str(refused[0].detail).startswith("/upsert/0/x0: unknown field; known: text")
    assert refused[1].detail == f"/upsert/1/metadata/0: {META_REMEDY}"


def test_nothing_is_told_that_is_so_of_the_looked_at_part_only() -> None:
    known_last = {f"x{n}": 1 for n in range(500)} | {"text": "a"}
    with pytest.raises(InvalidValueError) as caught:
        parse_body(json.dumps(known_last).encode(), RecordPut)
    assert {error.pointer for error in caught.value.errors} == {f"/x{n}" for n in range(100)}
    late = {"text": "a", "prior": {f"g{n}": 0 for n in range(100)} | {f"h{n}": "x" for n in range(300)}}
    with pytest.raises(InvalidValueError, match="300 values are wrong, but none of the first 100") as caught:
        parse_body(json.dumps(late).encode(), ClassifyRequest)
    assert not caught.value.errors, "that all weights are 0 is not so"
    with pytest.raises(InvalidValueError) as caught:
        parse_body(json.dumps({**late, "top_n": 0}).encode(), ClassifyRequest)
    assert [error.pointer for error in caught.value.errors] == ["/top_n"]


def test_a_name_of_a_megabyte_does_not_come_back() -> None:
    name = "x" * 1_000_000
    for schema, content in (
        (SearchRequest, {"query": "a", name: 1}),
        (SearchRequest, {"query": "a", "filter": {"metadata": {"a": {name: 1}}}}),
        (ClassifyRequest, {"text": "a", "prior": {name: 1, "b": 1}}),
        (RecordPut, {"text": "a", "metadata": {name: None}}),
    ):
        with pytest.raises(InvalidValueError) as caught:
            parse_body(json.dumps(content).encode(), schema)
        assert len(caught.value.detail) + len(str(caught.value.errors)) < 2000


class _Part(Strict):
    name: str = Field(default="", alias="Name")


class _Nest(Strict):
    several: list[_Part] | None = None
    by_name: dict[str, tuple[_Part, ...]] = Field(default={})


def test_fields_are_found_through_lists_and_dictionaries() -> None:
    assert fields_at(_Nest, []) == ["several", "by_name"]
    assert fields_at(_Nest, ["several", 3]) == fields_at(_Nest, ["by_name", "x", 0]) == ["Name"]
    assert fields_at(_Nest, ["nowhere", 3]) == fields_at(_Nest, ["several", 3, "Name", "deeper"]) == []
