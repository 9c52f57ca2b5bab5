"""The parts of an XLSX file, read no further than they say they go, and which cells its first sheet has.

python-calamine tells neither a formula without a value nor an error from an empty cell, and allocates every cell from
the first in use to the last, with its text: two cells can ask for terabytes. So the parts are looked through before,
and where a cell is to be found is read as python-calamine reads it, or the workbook is refused.
"""

import re
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Final
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.bulk.reading.rows import Limits, UploadCode, UploadError

_CHUNK_BYTES: Final = 65_536
_LOCAL_HEADER_BYTES: Final = 30
_WORKBOOK: Final = "xl/workbook.xml"
_RELATIONS: Final = "xl/_rels/workbook.xml.rels"
_MOST_ROWS: Final = 2**20
_MOST_COLUMNS: Final = 2**14
_REFERENCE: Final = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_REMEDY: Final = "save it again as an Excel workbook (.xlsx), or send CSV"


class Unreadable(StrEnum):
    """Why a cell has no value."""

    FORMULA = "is a formula without a stored value: open the file in Excel and save it"
    ERROR = "is an error such as #N/A: correct it"


@dataclass(slots=True)
class Sheet:
    """The first worksheet.

    Attributes:
        part: Where its cells are.
        strings, styles: What the workbook's sheets share, as far as it is there.
        counts_from_1904: Whether its dates do, and not from 1900.
        last_row: The last one with a cell in use, 1 being the first; 0 where there is none.
        unreadable: Cells without a value, by row (from 1) and column (from 0).
    """

    part: ZipInfo
    strings: ZipInfo | None
    styles: ZipInfo | None
    counts_from_1904: bool
    last_row: int = 0
    unreadable: dict[tuple[int, int], Unreadable] = field(default_factory=dict)


def look_through(file: IO[bytes], limits: Limits) -> Sheet:
    """Check that a workbook can be held in memory, and look at its first sheet.

    Raises:
        UploadError: It is damaged, or too large.
    """
    try:
        with ZipFile(file) as archive:
            parts = {info.filename.lower(): info for info in archive.infolist()}
            _check_sizes(file, archive.infolist(), limits)
            sheet = _first_sheet(file, parts)
            _scan(file, sheet, _string_lengths(file, sheet.strings), limits)
            return sheet
    except (
        BadZipFile,
        zlib.error,
        expat.ExpatError,
        LookupError,
        NotImplementedError,  # what zipfile raises of a compression that it does not know
        ValueError,
        StopIteration,
    ) as error:
        raise UploadError(UploadCode.DAMAGED, f"the workbook cannot be read ({error}): {_REMEDY}") from None


def _check_sizes(file: IO[bytes], parts: list[ZipInfo], limits: Limits) -> None:
    """The sizes are told in the archive's directory: add them up, then see that none is told too small."""
    total = sum(part.file_size for part in parts)
    if total > limits.most_sheet_bytes:
        detail = f"the workbook unpacks to {total:,} bytes, the most that is taken is {limits.most_sheet_bytes:,}"
        raise UploadError(UploadCode.TOO_LARGE, f"{detail}: send CSV, which may be larger")
    for part in parts:
        for _ in content_of(file, part):
            pass


def content_of(file: IO[bytes], part: ZipInfo) -> Iterator[bytes]:
    """What a part unpacks to. The standard library stops where the directory says, so it would see no lie."""
    if part.header_offset < 0:
        raise BadZipFile(f"{part.filename} begins before the file does")
    if part.flag_bits & 1 or part.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise BadZipFile(f"{part.filename} is encrypted or packed in an unusual way")
    file.seek(part.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    unpack = _inflate(file, part.compress_size) if part.compress_type == ZIP_DEFLATED else _pieces(file, part.file_size)
    left, checksum = part.file_size, 0
    for piece in unpack:
        left, checksum = left - len(piece), zlib.crc32(piece, checksum)
        if left < 0:
            raise BadZipFile(f"{part.filename} is larger than it says")
        yield piece
    if left or checksum != part.CRC:
        raise BadZipFile(f"{part.filename} is damaged")


def _pieces(file: IO[bytes], left: int) -> Iterator[bytes]:
    while left > 0 and (piece := file.read(min(left, _CHUNK_BYTES))):
        left -= len(piece)
        yield piece


def _inflate(file: IO[bytes], packed_bytes: int) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    for data in _pieces(file, packed_bytes):
        while not unpacker.eof and (piece := unpacker.decompress(data, _CHUNK_BYTES)):
            yield piece
            data = unpacker.unconsumed_tail


_Started = Callable[[str, dict[str, str]], None]


def _parse(
    content: Iterator[bytes],
    started: _Started,
    *,
    ended: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    """Hand the elements of a part to these functions, tags without their prefix."""

    def refuse(*_: object) -> None:
        raise BadZipFile("a part of it declares a document type, which workbooks do not")

    parser = expat.ParserCreate("utf-8")  # as python-calamine reads it, whatever it says itself
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda tag, attributes: started(tag.rpartition(":")[2], attributes)
    if ended is not None:
        parser.EndElementHandler = lambda tag: ended(tag.rpartition(":")[2])
    if text is not None:
        parser.CharacterDataHandler = text
    for piece in content:
        parser.Parse(piece, False)
    parser.Parse(b"", True)


def _first_sheet(file: IO[bytes], parts: dict[str, ZipInfo]) -> Sheet:
    """The first sheet that holds cells, no chart; not looked at yet."""
    sheets: list[str] = []
    targets: dict[str, dict[str, str]] = {}
    epochs: list[str | None] = []

    def on_workbook(tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet":
            sheets.append(next(value for name, value in attributes.items() if name.endswith(":id")))
        elif tag == "workbookPr":
            epochs.append(attributes.get("date1904"))

    def on_relation(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Relationship":
            target, kind = attributes["Target"].lower(), attributes["Type"].rpartition("/")[2]
            of_kind = targets.setdefault(kind, {})
            of_kind[attributes["Id"]] = target[1:] if target.startswith("/") else f"xl/{target}"

    def shared(kind: str) -> ZipInfo | None:
        return parts.get(next(iter(targets.get(kind, {}).values()), f"xl/{kind}.xml".lower()))

    _parse(content_of(file, parts[_WORKBOOK]), on_workbook)
    _parse(content_of(file, parts[_RELATIONS]), on_relation)
    worksheets = targets.get("worksheet", {})
    part = next((parts[worksheets[relation]] for relation in sheets if relation in worksheets), None)
    if part is None:
        raise BadZipFile("it has no worksheet")
    return Sheet(part, shared("sharedStrings"), shared("styles"), epochs[:1] in (["1"], ["true"]))


def _string_lengths(file: IO[bytes], part: ZipInfo | None) -> "array[int]":
    """How long each of the shared strings is."""
    lengths = array("q")

    def on_start(tag: str, _: dict[str, str]) -> None:
        if tag == "si":
            lengths.append(0)

    def on_text(text: str) -> None:
        if lengths:
            lengths[-1] += len(text)

    if part is not None:
        _parse(content_of(file, part), on_start, text=on_text)
    return lengths


class _Scan:
    """Looks at each cell of a sheet."""

    def __init__(self, sheet: Sheet, lengths: "array[int]") -> None:
        self.text_size = 0
        self.first_row = self.first_column = 2**31
        self.last_column = -1
        self._sheet = sheet
        self._lengths = lengths
        self._open: set[str] = set()
        self._next_row, self._row, self._column = 1, 0, -1
        self._kind: str | None = None
        self._used = self._is_formula = self._inside = False
        self._value = ""

    def on_start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in ("c", "row", "sheetData"):
            if tag in self._open:  # readers would count on differently
                raise BadZipFile(f"a {tag} of it begins before the one before it ends")
            self._open.add(tag)
        if tag == "c":
            self._kind = attributes.get("t")
            reference = attributes.get("r")
            self._row, self._column = place_of(reference) if reference else (self._next_row, self._column + 1)
            self._used = self._is_formula = False
            self._value = ""
        elif tag == "row":
            number = attributes.get("r")
            self._next_row, self._column = int(number) if number else self._next_row, -1
        elif tag == "sheetData":
            self._next_row = 1
        elif tag in ("v", "is"):
            self._used = self._inside = True
        elif tag == "f":
            self._used = self._is_formula = True

    def on_text(self, text: str) -> None:
        if self._inside:
            self._value += text

    def on_end(self, tag: str) -> None:
        if tag in ("v", "is"):
            self._inside = False
        elif tag == "c" and self._used:
            self._take_cell()
        elif tag == "row":
            self._next_row += 1
        if tag in ("c", "row"):  # a second sheetData is refused even where the first has ended
            self._open.discard(tag)

    def _take_cell(self) -> None:
        row, column, value, sheet = self._row, self._column, self._value, self._sheet
        if not (0 < row <= _MOST_ROWS and column < _MOST_COLUMNS):
            raise BadZipFile(f"cell {cell_name(row, column)} is none that Excel has")
        self.first_row, sheet.last_row = min(self.first_row, row), max(sheet.last_row, row)
        self.first_column, self.last_column = min(self.first_column, column), max(self.last_column, column)
        self.text_size += self._lengths[int(value)] if self._kind == "s" and value else len(value)
        if self._kind == "e":
            sheet.unreadable[row, column] = Unreadable.ERROR
        elif self._is_formula and not value and self._kind != "str":  # a string as result may be empty
            sheet.unreadable[row, column] = Unreadable.FORMULA


def place_of(reference: str) -> tuple[int, int]:
    """Row (from 1) and column (from 0) of a cell such as `B7`, or BadZipFile."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise BadZipFile(f"{reference[:20]!r} names no cell")
    column = 0
    for letter in found[1].upper():
        column = column * 26 + ord(letter) - 64
    return int(found[2]), column - 1


def cell_name(row: int, column: int) -> str:
    """A cell as Excel calls it; rows from 1, columns from 0."""
    letters, left = "", column + 1
    while left:
        left, letter = divmod(left - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{row}"


def _scan(file: IO[bytes], sheet: Sheet, lengths: "array[int]", limits: Limits) -> None:
    scan = _Scan(sheet, lengths)
    _parse(content_of(file, sheet.part), scan.on_start, ended=scan.on_end, text=scan.on_text)
    rows, columns = sheet.last_row - scan.first_row + 1, scan.last_column - scan.first_column + 1
    if rows * columns > limits.most_sheet_cells and sheet.last_row:
        detail = (
            f"the first sheet spans {rows:,} rows and {columns:,} columns, the most that is taken is "
            f"{limits.most_sheet_cells:,} cells: delete what stands far off, or send CSV"
        )
        raise UploadError(UploadCode.TOO_LARGE, detail)
    if scan.text_size > limits.most_sheet_bytes:
        detail = f"the first sheet holds more than {limits.most_sheet_bytes:,} characters: send CSV"
        raise UploadError(UploadCode.TOO_LARGE, detail)
