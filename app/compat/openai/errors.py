"""Errors as OpenAI's API tells them, and its clients read them."""

from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import Response

from app.compat.openai.schemas import OpenAIErrorAnswer
from app.http.errors import Failure

_INVALID: Final = "invalid_request_error"
_TYPES: Final = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: "invalid_api_key",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_exceeded",
}


def openai_error(failure: Failure) -> Response:
    """The answer in OpenAI's form; its API has no 422, a wrong value is 400 there."""
    status = HTTPStatus.BAD_REQUEST if failure.status == HTTPStatus.UNPROCESSABLE_ENTITY else failure.status
    body = {
        "error": {
            "message": failure.detail,
            "type": _TYPES.get(HTTPStatus(status)) or (_INVALID if status < 500 else "server_error"),
            "param": _param(failure),
            "code": _CODES.get(HTTPStatus(status), failure.code),
        }
    }
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail with these, and with what any route can."""
    return {
        status: {"model": OpenAIErrorAnswer, "description": HTTPStatus(status).phrase}
        for status in sorted({*statuses, 400, 401, 403, 429, 503})
    }


def _param(failure: Failure) -> str | None:
    """The parameter that is wrong: the first step of the pointer to it."""
    if not failure.errors:
        return None
    return failure.errors[0].pointer.lstrip("/").partition("/")[0] or None
