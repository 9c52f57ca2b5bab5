"""What the readers of uploads share: rows, what is wrong with one, what is wrong with a file, and the limits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from model.contract.errors import SamesayError


class FaultCode(StrEnum):
    """Why one row was left out; a client may go by it."""

    LINE_TOO_LONG = "line_too_long"
    WRONG_ENCODING = "wrong_encoding"
    NUL_CHARACTER = "nul_character"
    NOT_JSON = "not_json"
    RAGGED_ROW = "ragged_row"
    UNCLOSED_QUOTE = "unclosed_quote"
    MALFORMED_QUOTES = "malformed_quotes"
    UNREADABLE_CELL = "unreadable_cell"
    INVALID_VALUE = "invalid_value"


class UploadCode(StrEnum):
    """Why a file cannot be read, or not any further."""

    EMPTY = "empty_file"
    NO_ROWS = "no_rows"
    WRONG_FORM = "wrong_form"
    TRUNCATED = "truncated_file"
    DAMAGED = "damaged_file"
    TOO_LARGE = "unpacked_too_large"
    BAD_HEADER = "bad_header"
    MISSING_COLUMN = "missing_column"
    UNKNOWN_COLUMN = "unknown_column"
    DUPLICATE_COLUMN = "duplicate_column"
    UNREADABLE_COLUMN = "unreadable_column"


class UploadError(SamesayError):
    """A file cannot be read, or not any further; what it says becomes the job's error."""

    def __init__(self, code: UploadCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Fault(NamedTuple):
    """What is wrong with one row."""

    code: FaultCode
    detail: str


class RawRow(NamedTuple):
    """One row as it stands in the file.

    Attributes:
        line: Line number in the file (the header is line 1) of a text, row number in a spreadsheet (likewise) or in
            Parquet (where the first row is 1).
        cells: Its cells by the file's names for the columns, or why it has none.
    """

    line: int
    cells: Mapping[str, Any] | Fault


class SheetValue(NamedTuple):
    """A cell of a spreadsheet that holds no text but a number, a boolean or a date; and which one it is, as `B7`."""

    value: Any
    cell: str


class Columns(Protocol):
    """Who knows which columns are of use."""

    def choose(self, found: Sequence[str], *, of_every_row: bool) -> Collection[str]:
        """Those of the columns found that are to be read.

        Args:
            found: Names, as they stand in the file.
            of_every_row: Whether every row has them (a header); else one of the first has, and others may have more.

        Raises:
            UploadError: One that is needed is not there, or there twice.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a file may go.

    Attributes:
        most_unpacked_bytes: Of what gzip, zstd or Parquet unpack to.
        most_line_bytes: Of a line, and of a record of several lines in CSV; a longer one is left out.
        most_record_lines: Of a record in CSV.
        most_sheet_bytes: Of what the parts of a spreadsheet unpack to, and of the texts in its cells: it is held whole.
        most_sheet_cells: From the first cell in use to the last, empty ones between them included.
    """

    most_unpacked_bytes: int = 16 * 2**30
    most_line_bytes: int = 2**20
    most_record_lines: int = 10_000
    most_sheet_bytes: int = 512 * 2**20
    most_sheet_cells: int = 20_000_000
