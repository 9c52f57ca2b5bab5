"""The parameter `columns` of an import: `text:question,group:intent`."""

from app.bulk.columns import ColumnMap
from app.bulk.rows import UploadError
from app.errors import FieldProblem, InvalidValueError


def read_renames(columns: str) -> dict[str, str]:
    """The file's column for some of ours.

    Raises:
        InvalidValueError: It is written otherwise.
    """
    renames: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in columns.split(","))):
        ours, colon, theirs = part.partition(":")
        if not colon or not theirs.strip() or ours.strip() in renames:
            raise _wrong(f"{part!r}: give our column, a colon and the file's, each of ours once: text:question")
        renames[ours.strip()] = theirs.strip()
    return renames


def check_columns(columns: str) -> None:
    """Raise InvalidValueError for what no file could have."""
    try:
        ColumnMap(read_renames(columns))
    except UploadError as error:
        raise _wrong(error.detail) from None


def _wrong(detail: str) -> InvalidValueError:
    return InvalidValueError(f"columns: {detail}", errors=[FieldProblem("columns", detail)])
