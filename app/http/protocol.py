"""What never becomes a request that the app could see, answered as a problem too: no HTTP, and heads without end."""

from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http.errors import PROBLEM_JSON, problem_body

MOST_HEAD_BYTES: Final = 64 * 1024
"""Of a request line with its headers, or of what follows a chunked body; nobody has shown a key by then."""


def _refusal(status: int, code: str, title: str, detail: str) -> bytes:
    body = orjson.dumps(problem_body(status=status, code=code, title=title, detail=detail, instance="", request_id=""))
    head = f"HTTP/1.1 {status} {title}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body


_MALFORMED: Final = _refusal(
    400,
    "malformed_request",
    "Malformed request",
    "this is not HTTP/1.1: check the request line, the headers and the length or the chunks of the body",
)
_HEAD_TOO_LARGE: Final = _refusal(
    431,
    "head_too_large",
    "Request header fields too large",
    f"the request line and the headers are larger than {MOST_HEAD_BYTES} bytes: send fewer, or shorter ones",
)


class ProblemProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but for the form of its own refusals, and with a cap on heads.

    The parser keeps an unfinished head however long it is, copying it with each piece of it that comes: one
    connection took all memory, and meanwhile nobody else was answered.
    """

    _pending_bytes = 0
    """Came since the last end of a head, piece of a body, or end of a request."""

    def data_received(self, data: bytes) -> None:
        """Parse what came, and hang up if it is a head without end."""
        self._pending_bytes += len(data)
        super().data_received(data)
        if self._pending_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._pending_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._pending_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer and hang up."""
        self._refuse(_MALFORMED)

    def _refuse(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()
