"""Errors as text-embeddings-inference tells them."""

from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import Response

from app.compat.tei.schemas import ErrorType, TeiErrorAnswer
from app.errors import OverloadedError
from app.http.errors import Failure

_TYPES: Final = {
    HTTPStatus.UNAUTHORIZED: ErrorType.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: ErrorType.UNAUTHORIZED,
    HTTPStatus.TOO_MANY_REQUESTS: ErrorType.OVERLOADED,
    HTTPStatus.INTERNAL_SERVER_ERROR: ErrorType.BACKEND,
    HTTPStatus.SERVICE_UNAVAILABLE: ErrorType.UNHEALTHY,
}


def tei_error(failure: Failure) -> Response:
    """The answer in its form; what we call overloaded is 429 there."""
    status = HTTPStatus.TOO_MANY_REQUESTS if failure.code == OverloadedError.code else HTTPStatus(failure.status)
    body = {"error": failure.detail, "error_type": _TYPES.get(status, ErrorType.VALIDATION)}
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


def tei_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail with these, and with what any route can."""
    return {
        status: {"model": TeiErrorAnswer, "description": HTTPStatus(status).phrase}
        for status in sorted({*statuses, 401, 403, 429, 503})
    }
