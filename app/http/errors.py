"""Every error as application/problem+json (RFC 9457): ours, the framework's, and the defects nobody foresaw.

But for routes that speak another API's language (app/compat): those name their own form in the scope.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from app.errors import FieldProblem, InvalidValueError, ServiceError
from app.schemas import HALF_A_PAIR
from app.unknown_names import fields_at, unknown
from model.contract.errors import BundleError, SamesayError

PROBLEM_JSON: Final = "application/problem+json"
REQUEST_ID: Final = "samesay.request_id"
"""Key of the request's id in the ASGI scope."""

ERROR_FORM: Final = "samesay.error_form"
"""Key in the ASGI scope of the ErrorForm of a route that speaks another API's language; most have none."""

MOST_TOLD: Final = 100
"""Wrong values that one answer names."""

_LONGEST_NAME: Final = 256

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong with a request, in whatever form it will be told."""

    status: int
    code: str
    detail: str
    errors: Sequence[FieldProblem] = ()


ErrorForm = Callable[[Failure], Response]


def problem(
    scope: Scope, *, status: int, code: str, title: str, detail: str, errors: Sequence[FieldProblem] = ()
) -> Response:
    """Build a problem answer, or the answer in the form that the route's clients know."""
    form: ErrorForm | None = scope.get(ERROR_FORM)
    if form is not None:
        return form(Failure(status=status, code=code, detail=detail, errors=errors))
    body = problem_body(
        status=status,
        code=code,
        title=title,
        detail=detail,
        instance=scope["path"],
        request_id=scope.get(REQUEST_ID, ""),
    )
    if errors:
        body["errors"] = [{"pointer": error.pointer, "detail": error.detail} for error in errors]
    return Response(orjson.dumps(body), status_code=status, media_type=PROBLEM_JSON)


def problem_body(*, status: int, code: str, title: str, detail: str, instance: str, request_id: str) -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": f"urn:samesay:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "request_id": request_id,
    }


def problem_of(scope: Scope, error: SamesayError) -> Response:
    """The answer to an error of ours."""
    if not isinstance(error, ServiceError):
        _log.error(
            "encoder_unusable" if isinstance(error, BundleError) else "request_failed",
            request_id=scope.get(REQUEST_ID, ""),
            error=str(error),
        )
        return problem(scope, status=503, code="unavailable", title="Unavailable", detail=str(error))
    response = problem(
        scope, status=error.status, code=error.code, title=error.title, detail=error.detail, errors=error.errors
    )
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="samesay"'
    return response


def defect(scope: Scope) -> Response:
    """The answer to an error that nobody foresaw; the traceback is in the log only."""
    return problem(
        scope,
        status=500,
        code="internal_error",
        title="Internal error",
        detail="the server failed on this request; its log has more under this request_id",
    )


def invalid(
    error: ValidationError | RequestValidationError, schema: type[BaseModel] | None = None, *, prefix: str = ""
) -> InvalidValueError:
    """Pydantic's complaint as ours, with a JSON pointer for each wrong value and without the value itself.

    Args:
        error: The complaint.
        schema: Of what was checked, where it may have had unknown fields.
        prefix: Pointer to what was checked, in the body.
    """
    place = _parameter if isinstance(error, RequestValidationError) else pointer
    entries = lean_errors(error) if isinstance(error, ValidationError) else error.errors()
    problems = [FieldProblem(prefix + place(entry["loc"]), _reason(entry, schema)) for entry in entries[:MOST_TOLD]]
    return InvalidValueError.of(problems)


def lean_errors(error: ValidationError) -> list[ErrorDetails]:
    """Every complaint of pydantic's, as far as we tell of it: each is a Python object, so not of a great many."""
    return error.errors(include_url=False, include_context=False, include_input=False)


def install(app: FastAPI) -> None:
    """Let the app answer every error as a problem."""
    app.add_exception_handler(SamesayError, _on_ours)
    app.add_exception_handler(HTTPException, _on_framework)
    app.add_exception_handler(RequestValidationError, _on_invalid)


async def _on_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, SamesayError)
    return problem_of(request.scope, error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_of(request.scope, invalid(error))


async def _on_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = f"{request.method} {request.url.path}: {_REMEDIES.get(status, str(error.detail))}"
    code = status.name.lower()
    response = problem(request.scope, status=status, code=code, title=status.phrase, detail=detail)
    response.headers.update(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_methods_of(request))
    return response


def _methods_of(request: Request) -> list[str]:
    """Every method of the path: the framework names those of the first route that fits only."""
    routes = request.app.router.routes
    found = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return ["GET", "HEAD", *found[1:]] if found[:1] == ["GET"] else found


_REMEDIES: Final = {
    HTTPStatus.NOT_FOUND: "there is no such route; /openapi.json lists them all",
    HTTPStatus.METHOD_NOT_ALLOWED: "the route does not take this method; the Allow header names those it takes",
}


def _parameter(location: Sequence[int | str]) -> str:
    """The framework puts the kind of a parameter (path, query) before its name."""
    return ".".join(map(str, location[1:]))


def pointer(location: Sequence[int | str]) -> str:
    """A JSON pointer; of a name that is longer than any of ours, the beginning."""
    return "".join("/" + str(part)[:_LONGEST_NAME].replace("~", "~0").replace("/", "~1") for part in location)


def _reason(entry: Mapping[str, Any], schema: type[BaseModel] | None) -> str:
    if entry["type"] == "extra_forbidden" and schema is not None:
        *place, name = entry["loc"]
        return unknown("field", str(name), fields_at(schema, place))
    message = str(entry["msg"]).removeprefix("Value error, ").replace("valid tuple", "valid array")
    message = message.replace("Tuple should", "List should")  # JSON has no tuples
    if entry["type"] == "string_unicode":
        return HALF_A_PAIR
    return message[:1].lower() + message[1:]
