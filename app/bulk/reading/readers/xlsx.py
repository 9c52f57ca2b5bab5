"""XLSX: the first worksheet, read whole; its first row in use names the columns."""

from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from app.bulk.reading.readers.sheet_copy import copy_of
from app.bulk.reading.readers.sheet_parts import Sheet, cell_name, look_through
from app.bulk.reading.rows import Columns, Fault, FaultCode, Limits, RawRow, SheetValue, UploadCode, UploadError

if TYPE_CHECKING:
    from python_calamine import CalamineSheet


def read_xlsx(file: IO[bytes], *, limits: Limits, columns: Columns | None, skip_rows: int) -> Iterator[RawRow]:
    """Rows of a worksheet; empty ones are none. A formula counts as the value stored with it."""
    sheet = look_through(file, limits)
    rows = _filled_rows(file, sheet)
    first = next(rows, None)
    if first is None:
        return
    if isinstance(first[1], Fault):
        raise UploadError(UploadCode.BAD_HEADER, f"row {first[0]} should name the columns, but: {first[1].detail}")
    header = [str(name).strip() for name in first[1]]
    chosen = set(header if columns is None else columns.choose([name for name in header if name], of_every_row=True))
    wanted = [(position, name) for position, name in enumerate(header) if name and name in chosen]
    for row, values in rows:
        if skip_rows:
            skip_rows -= 1
        else:
            yield RawRow(row, values if isinstance(values, Fault) else _cells(sheet, row, values, wanted))


def _filled_rows(file: IO[bytes], sheet: Sheet) -> Iterator[tuple[int, Sequence[Any] | Fault]]:
    """Rows with anything in them, by their number; their cells from the sheet's first column on."""
    loaded = _loaded(file, sheet)
    unreadable_rows = {row for row, _ in sheet.unreadable}
    before = [""] * (loaded.start[1] if loaded.start else 0)
    rows = iter(loaded.iter_rows())
    for row in range(1, sheet.last_row + 1):  # the reader stops where only formulas without a value follow
        values = _next_values(rows, row)
        if isinstance(values, Fault):
            yield row, values
        elif row in unreadable_rows or any(value != "" for value in values):
            yield row, [*before, *values]


def _loaded(file: IO[bytes], sheet: Sheet) -> "CalamineSheet":
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with copy_of(file, sheet) as copy, CalamineWorkbook.from_filelike(copy) as workbook:
            return workbook.get_sheet_by_index(0)
    except CalamineError as error:
        raise UploadError(UploadCode.DAMAGED, f"the workbook cannot be read ({error}): save it again") from None
    except BaseException as error:
        if not _is_panic(error):
            raise
        raise UploadError(UploadCode.DAMAGED, "the workbook cannot be read: save it again, or send CSV") from None


def _next_values(rows: Iterator[list[Any]], row: int) -> list[Any] | Fault:
    try:
        return next(rows, [])
    except BaseException as error:
        if not isinstance(error, OverflowError) and not _is_panic(error):
            raise
    detail = f"row {row} holds a date or a duration that is beyond all calendars: correct it, or format it as a number"
    return Fault(FaultCode.UNREADABLE_CELL, detail)


def _is_panic(error: BaseException) -> bool:
    """Whether the library has a defect: that is raised as no Exception, and would end the process."""
    return type(error).__module__ == "pyo3_runtime"


def _cells(sheet: Sheet, row: int, values: Sequence[Any], wanted: list[tuple[int, str]]) -> dict[str, Any] | Fault:
    cells: dict[str, Any] = {}
    for position, name in wanted:
        value = values[position] if position < len(values) else ""
        if sheet.unreadable and (reason := sheet.unreadable.get((row, position))) is not None:
            return Fault(FaultCode.UNREADABLE_CELL, f"cell {cell_name(row, position)} {reason}")
        cells[name] = value if type(value) is str else SheetValue(value, cell_name(row, position))
    return cells
