"""The client's answers have the fields and the types that the document says, no more and no less."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from app.main import bare_app
from samesay import answers

COMPONENTS: dict[str, Any] = json.loads(json.dumps(bare_app().openapi()))["components"]["schemas"]
PAIRS = {
    answers.BatchResult: "BatchAnswer",
    answers.ClassifyResult: "ClassifyAnswer",
    answers.CollectionState: "CollectionAnswer",
    answers.Encoder: "EncoderAnswer",
    answers.Erased: "EraseAnswer",
    answers.FeedbackReceipt: "FeedbackReceipt",
    answers.Group: "GroupAnswer",
    answers.Info: "InfoAnswer",
    answers.JobData: "JobAnswer",
    answers.Record: "RecordAnswer",
    answers.Release: "ReleaseAnswer",
    answers.ReleaseEvent: "EventAnswer",
    answers.Report: "ReportAnswer",
    answers.SearchResult: "SearchAnswer",
    answers.Shadow: "ShadowAnswer",
    answers.Similarity: "SimilarityAnswer",
    answers.Switched: "SwitchedAnswer",
    answers.Written: "WriteAnswer",
}
NOT_THERE_YET = {"FeedbackReceipt"} - COMPONENTS.keys()
"""What the routes of a newer server answer."""

_ANY_STRING = json.dumps({"type": "string"})


@pytest.mark.parametrize(("model", "name"), [pair for pair in PAIRS.items() if pair[1] not in NOT_THERE_YET])
def test_an_answer_is_what_the_document_says(model: type[BaseModel], name: str) -> None:
    ours = model.model_json_schema()
    assert _plain(ours, ours.get("$defs", {})) == _forgiving(_plain(COMPONENTS[name], COMPONENTS), ours)


def test_the_comparison_sees_what_differs() -> None:
    class Wrong(BaseModel):
        scores: list[int]
        truncated: bool

    class Lacking(BaseModel):
        scores: list[float]

    expected = _plain(COMPONENTS["SimilarityAnswer"], COMPONENTS)
    for model in (Wrong, Lacking):
        assert _plain(model.model_json_schema(), {}) != expected


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """What of a schema decides which values fit: no titles, no words, no references."""
    if "$ref" in schema:
        return _plain(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return {json.dumps(_plain(one, definitions), sort_keys=True) for one in schema["anyOf"]}
    if "enum" in schema:
        return {"enum": sorted(schema["enum"])}
    if "properties" in schema:
        fields = {name: _plain(field, definitions) for name, field in schema["properties"].items()}
        return {"fields": fields, "required": sorted(schema.get("required", []))}
    kept = {key: schema[key] for key in ("type", "format") if key in schema}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            kept[key] = _plain(schema[key], definitions)
    return kept


def _forgiving(documented: Any, ours: Any) -> Any:
    """The documented schema, where an enumeration that the client leaves open is any string to it."""
    return _opened(documented, _plain(ours, ours.get("$defs", {})))


def _opened(documented: Any, plain: Any) -> Any:
    if isinstance(documented, dict) and isinstance(plain, dict):
        if "enum" in documented and plain == {"type": "string"}:
            return plain
        return {key: _opened(value, plain.get(key)) for key, value in documented.items()}
    if isinstance(documented, set) and isinstance(plain, set) and _ANY_STRING in plain:
        return {_ANY_STRING if "enum" in json.loads(one) else one for one in documented}
    return documented
