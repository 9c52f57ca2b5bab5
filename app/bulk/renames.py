"""The parameter `columns` of an import: `text:question,group:intent`; a pair with a comma in quotes, as in CSV."""

import re
from typing import Final

from app.bulk.reading.columns import ColumnMap
from app.bulk.reading.rows import UploadError
from app.errors import InvalidValueError

_PAIR: Final = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?:,|\Z)|([^,]*)(?:,|\Z)')
"""A pair in quotes, in which a quote is doubled, or one without."""


def read_renames(columns: str) -> dict[str, str]:
    """The file's column for some of ours.

    Raises:
        InvalidValueError: It is written otherwise.
    """
    renames: dict[str, str] = {}
    for part in filter(None, (_bare(found) for found in _PAIR.finditer(columns))):
        ours, colon, theirs = part.partition(":")
        if not colon or not theirs.strip() or ours.strip() in renames:
            raise InvalidValueError.at(
                "columns",
                f"{part!r}: give our column, a colon and the file's, each of ours once: text:question; "
                'where a name has a comma, with quotes around: "text:question, as asked"',
            )
        renames[ours.strip()] = theirs.strip()
    return renames


def _bare(found: re.Match[str]) -> str:
    quoted, plain = found.groups()
    return plain.strip() if quoted is None else quoted.replace('""', '"').strip()


def check_columns(columns: str) -> None:
    """Raise InvalidValueError for what no file could have."""
    try:
        ColumnMap(read_renames(columns))
    except UploadError as error:
        raise InvalidValueError.at("columns", error.detail) from None
