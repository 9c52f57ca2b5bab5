"""Page cursors: read back in their own list only."""

import pytest

from app.errors import InvalidValueError
from app.http.cursors import Cursors


def test_a_cursor_reads_back_in_its_own_list_only() -> None:
    cursors = Cursors(b"key")
    cursor = cursors.sign("faq/records", 12345678901)
    assert cursors.read("faq/records", cursor) == 12345678901
    assert cursors.read("faq/records", None) == 0
    for listing, text in (("faq/groups", cursor), ("faq/records", cursor[:-2]), ("faq/records", "é"), ("x", "AAAA")):
        with pytest.raises(InvalidValueError, match="next_cursor"):
            cursors.read(listing, text)
    with pytest.raises(InvalidValueError):
        Cursors(b"another").read("faq/records", cursor)
