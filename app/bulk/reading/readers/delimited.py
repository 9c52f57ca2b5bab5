"""CSV and TSV: a header, then a record a line, or several in CSV, where a quoted cell may hold line ends.

TSV has no quoting: a quotation mark is a character.
"""

import csv
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from app.bulk.reading.charsets import open_text
from app.bulk.reading.lines import Texts, blocks, decoded
from app.bulk.reading.rows import Columns, Fault, FaultCode, Limits, RawRow, UploadCode, UploadError
from app.bulk.reading.unpacking import ByteStream

csv.field_size_limit(2**31 - 1)  # else a longer cell counts as wrong quotes; lines and records have limits of their own


class _Record(NamedTuple):
    """Cells in the order of the file, or why there are none."""

    line: int
    cells: list[str] | Fault


def read_csv(
    stream: ByteStream, *, codec: str | None, limits: Limits, columns: Columns | None, skip_rows: int
) -> Iterator[RawRow]:
    """Rows of CSV, quoted as RFC 4180 has it; those of blank cells are none, as spreadsheets append them."""
    return _rows(_csv_records(_texts(stream, codec, limits, also_cr=True), limits), columns, skip_rows)


def read_tsv(
    stream: ByteStream, *, codec: str | None, limits: Limits, columns: Columns | None, skip_rows: int
) -> Iterator[RawRow]:
    """Rows of TSV; those of blank cells are none."""
    return _rows(_tsv_records(_texts(stream, codec, limits, also_cr=False)), columns, skip_rows)


def _texts(stream: ByteStream, codec: str | None, limits: Limits, *, also_cr: bool) -> Iterator[Texts]:
    stream, encoding = open_text(stream, codec)
    for block in blocks(stream, most_line_bytes=limits.most_line_bytes, also_cr=also_cr):
        encoding.see(block.lines)
        yield decoded(block, encoding, most_line_bytes=limits.most_line_bytes)


def _rows(records: Iterator[_Record], columns: Columns | None, skip_rows: int) -> Iterator[RawRow]:
    """Records by the header, which is the first of them."""
    first = next(records, None)
    if first is None:
        return
    line, names = first
    if isinstance(names, Fault):
        raise UploadError(UploadCode.BAD_HEADER, f"line {line} should name the columns, but: {names.detail}")
    header = [name.strip() for name in names]
    if columns is not None:
        columns.choose(header, of_every_row=True)
    width = len(header)
    for line, cells in islice(records, skip_rows, None):
        if isinstance(cells, Fault):
            yield RawRow(line, cells)
        elif len(cells) != width:
            fault = Fault(FaultCode.RAGGED_ROW, f"{len(cells)} cells where the header has {width}")
            yield RawRow(line, fault)
        else:
            yield RawRow(line, dict(zip(header, cells, strict=True)))


def _tsv_records(texts: Iterator[Texts]) -> Iterator[_Record]:
    first_line = 1
    for lines, faults in texts:
        for number, line in enumerate(lines, start=first_line):
            if faults and (fault := faults.get(number - first_line)) is not None:
                yield _Record(number, fault)
            elif line.strip():
                yield _Record(number, line.rstrip("\r\n").split("\t"))
        first_line += len(lines)


def _csv_records(texts: Iterator[Texts], limits: Limits) -> Iterator[_Record]:
    feed = _Feed(texts, limits)
    reader = csv.reader(feed, strict=True)
    while True:
        first_line = feed.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _RecordTooLongError) as error:
            fault = feed.give_back(error)
            yield _Record(first_line, feed.faults.pop(first_line, fault))
            reader = csv.reader(feed, strict=True)
            continue
        found = feed.take_fault(first_line) if feed.faults else None
        if found is not None:
            yield _Record(first_line, found)
        elif any(map(str.strip, cells)):
            yield _Record(first_line, cells)


class _RecordTooLongError(Exception):
    """A record goes on for longer than any can."""


class _Feed:
    """Lines for the csv module, which come back when a record proves to be none.

    A quotation mark that is never closed would take in the rest of the file. So only its line is left out, and reading
    goes on at the next one.

    Attributes:
        faults: What is wrong with lines fed but not yet judged, by line number.
    """

    def __init__(self, texts: Iterator[Texts], limits: Limits) -> None:
        self.faults: dict[int, Fault] = {}
        self._limits = limits
        self._lines = self._all_lines(texts)
        self._again: deque[str] = deque()
        self._record: list[str] = []
        self._size = 0
        self._line = 0  # fed last

    def begin(self) -> int:
        """Begin a record; returns the number of its first line."""
        self._record.clear()
        return self._line + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._line += 1
        record = self._record
        record.append(line)
        if len(record) == 1:
            self._size = len(line)
        else:
            self._size += len(line)
            if self._size > self._limits.most_line_bytes or len(record) > self._limits.most_record_lines:
                raise _RecordTooLongError
        return line

    def take_fault(self, first_line: int) -> Fault | None:
        """What is wrong with any line of the record that ends here."""
        numbers = range(first_line, self._line + 1)
        found = [fault for number in numbers if (fault := self.faults.pop(number, None)) is not None]
        return found[0] if found else None

    def give_back(self, error: Exception) -> Fault:
        """Feed all but the first line of the record again; returns what is wrong with the first."""
        begun = self._line - len(self._record) + 1
        further = self._record[1:]
        self._again.extendleft(reversed(further))
        self._line = begun
        if not further:
            detail = f"the quotation marks of the line do not fit ({error}): double those inside a cell"
            return Fault(FaultCode.MALFORMED_QUOTES, detail)
        end = f"within {len(further)} lines" if isinstance(error, _RecordTooLongError) else f"properly ({error})"
        detail = (
            f"the quotation mark opened in line {begun} is not closed {end}: close it, or double it inside a cell; "
            f"reading went on at line {begun + 1}"
        )
        return Fault(FaultCode.UNCLOSED_QUOTE, detail)

    def _all_lines(self, texts: Iterator[Texts]) -> Iterator[str]:
        first_line = 1
        for lines, faults in texts:
            self.faults.update((first_line + position, fault) for position, fault in faults.items())
            first_line += len(lines)
            yield from lines
