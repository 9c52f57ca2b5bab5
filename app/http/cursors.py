"""Opaque, signed page cursors: where a list goes on, and which list it was."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from app.errors import FieldProblem, InvalidValueError
from app.schemas import Page

R = TypeVar("R")
T = TypeVar("T")

_SIGNATURE_BYTES: Final = 12


class Cursors:
    """Signs and reads cursors.

    Args:
        key: Shared by every server on the same database, so that any of them can go on.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def page(
        self, kind: type[Page[T]], listing: str, limit: int, found: Sequence[R], show: Callable[[R], tuple[int, T]]
    ) -> Page[T]:
        """One page of a listing, with the cursor to the next one.

        Args:
            kind: Of the page.
            listing: Names the list.
            limit: Items of a page.
            found: Up to one more than that, past the key that `read` gave.
            show: The key of one of them, and the item.
        """
        shown = [show(row) for row in found[:limit]]
        next_cursor = self.sign(listing, shown[-1][0]) if len(found) > limit else None
        return kind(items=[item for _, item in shown], next_cursor=next_cursor)

    def sign(self, listing: str, last: int) -> str:
        """The cursor after the item of key `last` in this listing."""
        return urlsafe_b64encode(self._signature(listing, last) + str(last).encode()).decode().rstrip("=")

    def read(self, listing: str, cursor: str | None) -> int:
        """The key after which to go on; 0 from the start.

        Raises:
            InvalidValueError: Not a cursor of this listing.
        """
        if cursor is None:
            return 0
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            last = int(raw[_SIGNATURE_BYTES:].decode("ascii"))
        except (Base64Error, ValueError):
            raise _unknown() from None
        if not hmac.compare_digest(self._signature(listing, last), raw[:_SIGNATURE_BYTES]):
            raise _unknown()
        return last

    def _signature(self, listing: str, last: int) -> bytes:
        return hmac.new(self._key, f"{listing}\n{last}".encode(), hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _unknown() -> InvalidValueError:
    detail = "is no cursor of this list: give the next_cursor of the page before, or none"
    return InvalidValueError(f"cursor {detail}", errors=[FieldProblem("cursor", detail)])
