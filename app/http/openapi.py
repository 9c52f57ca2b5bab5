"""The OpenAPI document: problems with examples, bodies that we parse ourselves, and the file docs/openapi.json."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.http.errors import PROBLEM_JSON, problem_body
from app.schemas import Problem

_ALWAYS: Final = (401, 403, 422, 429, 503)
_REF: Final = "#/components/schemas/{model}"
_THEIRS: Final = "HTTPValidationError"

_EXAMPLES: Final[dict[int, tuple[str, str]]] = {
    400: ("malformed_body", "the body is not JSON: Expecting ',' delimiter at line 1, column 12"),
    401: ("unauthorised", "send the header Authorization: Bearer KEY"),
    403: ("forbidden", "the key 0123456789abcdef lacks the scope data:write: use a key that has it"),
    404: ("not_found", "there is no collection 'faq': GET /v1/collections lists them"),
    409: ("name_taken", "there is a collection 'faq' already: choose another name"),
    412: ("precondition_failed", "group 'g1' has ETag 7-2-90f3a1c4d2be, If-Match names another: get it again"),
    413: ("body_too_large", "the body is larger than 16777216 bytes: send it in parts"),
    415: ("unsupported_media_type", "no Content-Type: send one of application/x-ndjson, text/csv"),
    422: ("invalid_value", "/text: is empty or blank: give a sentence"),
    429: ("rate_limited", "this key may send 50 items a second, 100 at once: repeat it in 2 s"),
    503: ("overloaded", "4096 sentences wait already: repeat the request in a second"),
    507: ("storage_full", "the disk of the database is full: nothing was stored; free some space"),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail with these, and with what any route can."""
    return {status: _problem(status) for status in sorted({*statuses, *_ALWAYS})}


def json_body(schema: type[BaseModel], **examples: Any) -> dict[str, Any]:
    """The `openapi_extra` of a route that parses its own body; each example is named by its keyword."""
    content: dict[str, Any] = {"schema": {"$ref": _REF.format(model=schema.__name__)}}
    content["examples"] = {name: {"value": value} for name, value in examples.items()}
    _BODIES.add(schema)
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def optional_json_body(schema: type[BaseModel], **examples: Any) -> dict[str, Any]:
    """`json_body`, where no body at all means the defaults."""
    declared = json_body(schema, **examples)
    return {"requestBody": {**declared["requestBody"], "required": False}}


_BODIES: Final[set[type[BaseModel]]] = set()
"""Filled by `json_body` as routes are declared; the document needs their schemas."""


def document(app: FastAPI, describe_access: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The OpenAPI document of the app, with the schemas of the bodies, and what `describe_access` adds."""
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            openapi_version="3.1.0",
        )
        _take_out_the_frameworks(app.openapi_schema)
        components = app.openapi_schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(_body_schemas())
        describe_access(app.openapi_schema)
    return app.openapi_schema


def _take_out_the_frameworks(described: dict[str, Any]) -> None:
    """Take out the 422 that the framework adds where a route names none: we answer it in another form or status."""
    theirs = {"$ref": _REF.format(model=_THEIRS)}
    for item in described["paths"].values():
        for operation in item.values():
            refused = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
            if refused.get("schema") == theirs:
                del operation["responses"]["422"]
    for name in (_THEIRS, "ValidationError"):
        described["components"]["schemas"].pop(name, None)


def _body_schemas() -> dict[str, Any]:
    models = sorted(_BODIES, key=lambda schema: schema.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    return dict(definitions.get("$defs", {}))


def _problem(status: int) -> dict[str, Any]:
    code, detail = _EXAMPLES[status]
    example = problem_body(
        status=status,
        code=code,
        title=code.replace("_", " ").capitalize(),
        detail=detail,
        instance="/v1/collections/faq",
        request_id="0193a1b2c3d44e5f8a9b0c1d2e3f4a5b",
    )
    content = {"schema": {"$ref": _REF.format(model=Problem.__name__)}, "example": example}
    return {"description": HTTPStatus(status).phrase, "content": {PROBLEM_JSON: content}}


_BODIES.add(Problem)
