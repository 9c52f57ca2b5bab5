"""What a single cell says, form by form: a name, a payload, a value of the metadata."""

from datetime import date, datetime, time
from typing import Any, Final

from app.bulk.forms import Form
from app.bulk.reading.exact_json import loads
from app.bulk.reading.rows import SheetValue

_MOST_SHEET_NUMBER: Final = 10**15
"""Excel keeps fifteen digits: up to here a whole number is what was typed, but for zeros in front."""
_SHOWN: Final = 80


def as_string(value: Any, form: Form, *, field: str) -> str:
    """A text, a name or an id that stands there as something else than a string.

    Whole numbers do where nothing is lost: in Parquet they are ids and groups too, in a spreadsheet anything but an id.

    Raises:
        ValueError: What was meant is not certain.
    """
    if isinstance(value, SheetValue):
        return _sheet_string(value, field)
    if form is Form.PARQUET and type(value) is int and field in ("id", "group"):
        return str(value)
    raise ValueError(f"{field}: is {_shown(value)}; a string is wanted")


def _sheet_string(cell: SheetValue, field: str) -> str:
    value, name = cell
    remedy = "format the column as text and type it again"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{field}: cell {name} is {_kind(value)}, not text: {remedy}")
    if field == "id":
        detail = "Excel keeps this id as a number, 1e15 and 007 would be lost"
        raise ValueError(f"id: cell {name} is the number {value:.15g}; {detail}: {remedy}")
    if not float(value).is_integer() or abs(value) >= _MOST_SHEET_NUMBER:
        raise ValueError(f"{field}: cell {name} is the number {value:.15g}, of which digits may be lost: {remedy}")
    return str(int(value))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return "a date" if isinstance(value, date) else "a time"


def as_payload(value: Any, form: Form) -> Any:
    """A payload: any JSON; in a table a text is one as it is, unless it is a JSON object, list or string.

    In Parquet, which has no empty cells that look like texts, any JSON counts as what it is: exports write it so.
    """
    if isinstance(value, SheetValue):
        return as_json(value)
    if isinstance(value, str) and form is not Form.NDJSON:
        if not value:
            return None
        if form is Form.PARQUET or value.lstrip()[:1] in ("{", "[", '"'):
            try:
                return loads(value.encode())
            except ValueError:
                return value
    return value


def as_json(value: Any) -> Any:
    """A value of the metadata: that of a spreadsheet as JSON has it, dates as ISO 8601; None where there is none."""
    if not isinstance(value, SheetValue):
        return value
    held = value.value
    if isinstance(held, float) and held.is_integer() and abs(held) < _MOST_SHEET_NUMBER:
        return int(held)
    if isinstance(held, date | datetime | time):
        return held.isoformat()
    return held if isinstance(held, bool | int | float) else str(held)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
