"""Headers that keep browsers from harm, and which pages of other sites may ask."""

from collections.abc import Iterable
from typing import Any, Final

DOCS_PATH: Final = "/docs"

Headers = list[tuple[bytes, bytes]]

_ALWAYS: Final[Headers] = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]

_NO_STORE: Final = (b"cache-control", b"no-store")

_NO_PAGE: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""For what is no page: whatever a browser takes for one must do nothing."""

_CDN: Final = "https://cdn.jsdelivr.net"
_DOCS_RULES: Final = (
    "default-src 'none'",
    f"script-src 'unsafe-inline' {_CDN}",
    f"style-src 'unsafe-inline' {_CDN}",
    "img-src data: https://fastapi.tiangolo.com",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
_DOCS_PAGE: Final = (b"content-security-policy", "; ".join(_DOCS_RULES).encode())

_PAGE_RULES: Final = b"content-security-policy"
_KEEPING: Final = b"cache-control"


def safe_headers(headers: Iterable[tuple[bytes, bytes]], path: str, request_id: str) -> Headers:
    """The headers of an answer, with ours; one that has a policy for browsers of its own keeps it.

    No answer is kept by a browser or a proxy unless it says so itself.
    """
    given = [*headers, *_ALWAYS]
    names = {name.lower() for name, _ in given}
    if _PAGE_RULES not in names:
        given.append(_DOCS_PAGE if path == DOCS_PATH else _NO_PAGE)
    if _KEEPING not in names:
        given.append(_NO_STORE)
    given.append((b"x-request-id", request_id.encode()))
    return given


def cors_options(origins: tuple[str, ...]) -> dict[str, Any]:
    """The options of Starlette's middleware; it stands before the door, as browsers ask first, and without a key."""
    return {
        "allow_origins": origins,
        "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
        "allow_headers": [
            "Authorization",
            "Content-Encoding",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "If-None-Match",
            "Last-Event-ID",
        ],
        "expose_headers": ["ETag", "Location", "Retry-After", "X-Request-ID"],
        "max_age": 600,
    }
