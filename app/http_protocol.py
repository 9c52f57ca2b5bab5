"""What is no HTTP at all, answered as a problem too: it never becomes a request that the app could see."""

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http_errors import PROBLEM_JSON, problem_body

_BODY = orjson.dumps(
    problem_body(
        status=400,
        code="malformed_request",
        title="Malformed request",
        detail="this is not HTTP/1.1: check the request line, the headers and the length or the chunks of the body",
        instance="",
        request_id="",
    )
)
_ANSWER = (
    f"HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {len(_BODY)}\r\n"
    "connection: close\r\n\r\n"
).encode() + _BODY


class ProblemProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but for the form of its own refusals."""

    def send_400_response(self, msg: str) -> None:
        """Answer and hang up."""
        self.transport.write(_ANSWER)
        self.transport.close()
