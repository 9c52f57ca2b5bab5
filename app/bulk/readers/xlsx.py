"""XLSX: the first worksheet, read whole; its first row in use names the columns."""

from collections.abc import Iterator, Sequence
from typing import IO, Any

from app.bulk.readers.sheet_parts import Sheet, cell_name, look_through
from app.bulk.rows import Columns, Fault, FaultCode, Limits, RawRow, SheetValue, UploadCode, UploadError


def read_xlsx(file: IO[bytes], *, limits: Limits, columns: Columns | None, skip_rows: int) -> Iterator[RawRow]:
    """Rows of a worksheet; empty ones are none. A formula counts as the value stored with it."""
    sheet = look_through(file, limits)
    rows = _filled_rows(file, sheet)
    first = next(rows, None)
    if first is None:
        return
    header = [str(name).strip() for name in first[1]]
    chosen = set(header if columns is None else columns.choose([name for name in header if name], of_every_row=True))
    wanted = [(position, name) for position, name in enumerate(header) if name and name in chosen]
    for row, values in rows:
        if skip_rows:
            skip_rows -= 1
        else:
            yield RawRow(row, _cells(sheet, row, values, wanted))


def _filled_rows(file: IO[bytes], sheet: Sheet) -> Iterator[tuple[int, Sequence[Any]]]:
    """Rows with anything in them, by their number; their cells from the sheet's first column on."""
    from python_calamine import CalamineError, CalamineWorkbook

    file.seek(0)
    try:
        with CalamineWorkbook.from_filelike(file) as workbook:
            loaded = workbook.get_sheet_by_name(sheet.name)
    except CalamineError as error:
        raise UploadError(UploadCode.DAMAGED, f"the workbook cannot be read ({error}): save it again") from None
    unreadable_rows = {row for row, _ in sheet.unreadable}
    before = [""] * (loaded.start[1] if loaded.start else 0)
    rows = iter(loaded.iter_rows())
    for row in range(1, sheet.last_row + 1):  # the reader stops where only formulas without a value follow
        values = next(rows, [])
        if row in unreadable_rows or any(value != "" for value in values):
            yield row, [*before, *values]


def _cells(sheet: Sheet, row: int, values: Sequence[Any], wanted: list[tuple[int, str]]) -> dict[str, Any] | Fault:
    cells: dict[str, Any] = {}
    for position, name in wanted:
        value = values[position] if position < len(values) else ""
        if sheet.unreadable and (reason := sheet.unreadable.get((row, position))) is not None:
            return Fault(FaultCode.UNREADABLE_CELL, f"cell {cell_name(row, position)} {reason}")
        cells[name] = value if type(value) is str else SheetValue(value, cell_name(row, position))
    return cells
