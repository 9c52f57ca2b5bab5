"""Bodies in and out: one parse of the raw bytes, one serialisation, the same errors on every route."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from app.errors import FieldProblem, InvalidValueError, MalformedBodyError
from app.http.errors import MOST_TOLD, invalid, lean_errors
from app.http.many_faults import first_of_each, without

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, schema: type[M]) -> M:
    """Parse and validate the request's JSON body.

    Raises:
        MalformedBodyError: It is not UTF-8, or not JSON.
        InvalidValueError: A value is wrong; it is named.
    """
    return parse_body(await request.body(), schema)


async def read_optional_body(request: Request, schema: type[M]) -> M:
    """`read_body`, where no body at all means the defaults."""
    return parse_body(await request.body() or b"{}", schema)


def parse_body(body: bytes, schema: type[M]) -> M:
    """`read_body` on bytes."""
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > MOST_TOLD:
            raise _invalid_often(error, load_json(body), schema) from None
        if lean_errors(error)[0]["type"] != "json_invalid":
            raise _invalid(error, lambda: load_json(body), schema) from None
    return _parse_slowly(body, schema)


def invalid_value(
    error: ValidationError, value: Any, schema: type[BaseModel], *, prefix: str = ""
) -> InvalidValueError:
    """`invalid` for a complaint of a value, which may have any number of faults.

    Args:
        error: The complaint.
        value: What was checked, as JSON gives it.
        schema: Its own.
        prefix: Pointer to it, in the body.
    """
    if error.error_count() > MOST_TOLD:
        return _invalid_often(error, value, schema, prefix=prefix)
    return invalid(error, schema, prefix=prefix)


def _invalid_often(
    error: ValidationError, value: Any, schema: type[BaseModel], *, prefix: str = ""
) -> InvalidValueError:
    """What is wrong with a part of a value that has too many faults to make objects of all."""
    part, cut = first_of_each(value, schema)
    try:
        schema.model_validate(part)
    except ValidationError as of_part:
        found = without(_invalid(of_part, lambda: part, schema).errors, cut)
        if found:
            return InvalidValueError.of([FieldProblem(prefix + problem.pointer, problem.detail) for problem in found])
    where = prefix or "the body"
    return InvalidValueError(
        f"{where}: {error.error_count()} values are wrong, but none of the first {MOST_TOLD} of each list and object"
    )


def _invalid(error: ValidationError, value: Callable[[], Any], schema: type[BaseModel]) -> InvalidValueError:
    """What is wrong with a value; where fields are only too many, also what is wrong without them."""
    told, found = invalid(error, schema), lean_errors(error)
    strange = {entry["loc"][0] for entry in found if entry["type"] == "extra_forbidden" and len(entry["loc"]) == 1}
    if len(strange) < len(found):
        return told
    try:
        schema.model_validate({name: item for name, item in value().items() if name not in strange})
    except ValidationError as other:
        return InvalidValueError(told.detail, errors=[*told.errors, *invalid(other, schema).errors])
    return told


def _parse_slowly(body: bytes, schema: type[M]) -> M:
    """What the fast parser calls invalid may be JSON with a lone surrogate, whose place only the slow one can name."""
    value = load_json(body)
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise invalid_value(error, value, schema) from None


def load_json(body: bytes) -> Any:
    """Parse JSON bytes, saying what is wrong with them."""
    if not body:
        raise MalformedBodyError("the body is empty: send a JSON object")
    try:
        return json.loads(body.decode())
    except UnicodeDecodeError as error:
        raise MalformedBodyError(f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}") from None
    except json.JSONDecodeError as error:
        raise MalformedBodyError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise MalformedBodyError(f"the body is not JSON that can be read: {type(error).__name__}") from None


def answer(content: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, serialised once."""
    body = content.__pydantic_serializer__.to_json(content)
    return Response(body, status_code=status, headers=headers, media_type="application/json")
