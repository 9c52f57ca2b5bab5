"""XLSX: cells that are no text, formulas, sheets far apart, and archives that lie."""

import datetime
import io
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from app.bulk.forms import Form
from app.bulk.reading.opening import open_rows
from app.bulk.reading.readers.sheet_parts import cell_name, look_through, place_of
from app.bulk.reading.rows import Fault, FaultCode, Limits, RawRow, SheetValue, UploadCode, UploadError
from tests.fakes.uploads import saved, saved_at, sheet

SHEET = "xl/worksheets/sheet1.xml"


def read(tmp_path: Path, content: bytes, **options: Any) -> list[RawRow]:
    return list(open_rows(saved_at(tmp_path / "upload", content), Form.XLSX, **options))


def refused(tmp_path: Path, content: bytes, **options: Any) -> UploadError:
    with pytest.raises(UploadError) as caught:
        read(tmp_path, content, **options)
    return caught.value


def altered(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """A workbook with one part changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == part else old.read(name))
    return file.getvalue()


def test_texts_numbers_booleans_and_dates_with_their_cells(tmp_path: Path) -> None:
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 13, 5)
    rows = read(tmp_path, sheet([["id", " text ", "x"], ["r1", "退款", 7], [None, "b", 1.5], [True, day, moment]]))
    assert rows == [
        RawRow(2, {"id": "r1", "text": "退款", "x": SheetValue(7.0, "C2")}),
        RawRow(3, {"id": "", "text": "b", "x": SheetValue(1.5, "C3")}),
        RawRow(4, {"id": SheetValue(True, "A4"), "text": SheetValue(day, "B4"), "x": SheetValue(moment, "C4")}),
    ]


def test_a_formula_counts_as_the_value_stored_with_it(tmp_path: Path) -> None:
    content = altered(
        sheet([["text", "n"], ["=A1", "=1+1"], ["=A1", "=B2"], ["=A1", "plain"]]),
        SHEET,
        lambda xml: (
            xml.replace(b'<c r="A2"><f>A1</f><v />', b'<c r="A2" t="str"><f>A1</f><v>stored</v>')
            .replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
            .replace(b'<c r="A3"><f>A1</f><v />', b'<c r="A3" t="str"><f>A1</f><v></v>')
        ),
    )
    rows = read(tmp_path, content)
    assert rows[0] == RawRow(2, {"text": "stored", "n": SheetValue(2.0, "B2")})
    detail = "is a formula without a stored value: open the file in Excel and save it"
    assert rows[1:] == [
        RawRow(3, Fault(FaultCode.UNREADABLE_CELL, f"cell B3 {detail}")),  # A3: the empty string is a value
        RawRow(4, Fault(FaultCode.UNREADABLE_CELL, f"cell A4 {detail}")),
    ]


def test_rows_of_nothing_but_formulas_at_the_end_are_not_lost(tmp_path: Path) -> None:
    rows = read(tmp_path, sheet([["text"], ["=A1"], [None], ["=A1&A1"]]))
    assert [(row.line, type(row.cells)) for row in rows] == [(2, Fault), (4, Fault)]


def test_errors_are_faults(tmp_path: Path) -> None:
    rows = read(tmp_path, sheet([["text", "group"], ["a", "#N/A"], ["#REF!", "g"]]))
    assert [row.cells for row in rows] == [
        Fault(FaultCode.UNREADABLE_CELL, "cell B2 is an error such as #N/A: correct it"),
        Fault(FaultCode.UNREADABLE_CELL, "cell A3 is an error such as #N/A: correct it"),
    ]


class Text:
    """Chooses the text alone."""

    def choose(self, found: Any, *, of_every_row: bool) -> list[str]:
        return ["text"]


def test_what_is_wrong_in_columns_of_no_use_does_not_matter(tmp_path: Path) -> None:
    rows = read(tmp_path, sheet([["text", "other"], ["a", "=1"], ["b", "#N/A"]]), columns=Text())
    assert rows == [RawRow(2, {"text": "a"}), RawRow(3, {"text": "b"})]


def test_a_table_that_begins_further_down_and_right(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for cell, value in {
        "C3": "text",
        "D3": "group",
        "C4": "a",
        "D6": "=1",
        "C7": "b",
        "D7": 7,
        "F7": "no name",
    }.items():
        workbook.active[cell] = value
    rows = read(tmp_path, saved(workbook))
    assert [row.line for row in rows] == [4, 6, 7]
    assert rows[0].cells == {"text": "a", "group": ""}
    assert isinstance(rows[1].cells, Fault) and "cell D6" in rows[1].cells.detail
    assert rows[2].cells == {"text": "b", "group": SheetValue(7.0, "D7")}


def test_the_first_sheet_with_cells_counts(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    second = workbook.active
    first = workbook.create_sheet("before it", 0)
    workbook.create_chartsheet("a chart", 0)
    for row, (right, wrong) in enumerate([("text", "text"), ("right", "wrong")], start=1):
        first.cell(row, 1, right)
        second.cell(row, 1, wrong)
    assert read(tmp_path, saved(workbook)) == [RawRow(2, {"text": "right"})]


def test_columns_have_excel_names() -> None:
    names = {1: "A7", 26: "Z7", 27: "AA7", 702: "ZZ7", 703: "AAA7", 16384: "XFD7"}
    for number, name in names.items():
        assert cell_name(7, number - 1) == name == f"{openpyxl.utils.get_column_letter(number)}7"
        assert place_of(name) == (7, number - 1)


@pytest.mark.parametrize("skip", [0, 1, 2, 3, 9])
def test_skipped_rows_are_those_read_before(tmp_path: Path, skip: int) -> None:
    content = sheet([["text"], ["a"], [None], ["=A1"], ["c"]])
    assert read(tmp_path, content, skip_rows=skip) == read(tmp_path, content)[skip:]


def test_nothing_in_it_a_header_alone_and_no_workbook(tmp_path: Path) -> None:
    assert refused(tmp_path, sheet([])).code == UploadCode.NO_ROWS
    assert refused(tmp_path, sheet([["text"]])).code == UploadCode.NO_ROWS
    whole = sheet([["text"], ["a"]])
    assert refused(tmp_path, whole[: len(whole) // 2]).code == UploadCode.DAMAGED
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "no workbook")
    assert refused(tmp_path, file.getvalue()).code == UploadCode.DAMAGED
    assert refused(tmp_path, b"text\nfine\n").code == UploadCode.WRONG_FORM


def test_a_document_type_is_refused(tmp_path: Path) -> None:
    lol = b'<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    content = altered(sheet([["text"], ["a"]]), SHEET, lambda xml: lol + xml)
    error = refused(tmp_path, content)
    assert (error.code, "document type" in error.detail) == (UploadCode.DAMAGED, True)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A workbook with 600 MiB of blanks."""
    blanks = b" " * (600 * 2**20)
    content = altered(sheet([["text"], ["a"]]), SHEET, lambda xml: xml.replace(b"<sheetData>", blanks + b"<sheetData>"))
    assert len(content) < 700_000
    return content


def lying(content: bytes, told_bytes: int) -> bytes:
    """The workbook with another size of its sheet told."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.getinfo(SHEET).file_size
    assert content.count(size.to_bytes(4, "little")) == 2  # in the part's own header, and in the directory
    return content.replace(size.to_bytes(4, "little"), told_bytes.to_bytes(4, "little"))


@pytest.mark.parametrize(("told_bytes", "code"), [(None, UploadCode.TOO_LARGE), (1000, UploadCode.DAMAGED)])
def test_a_bomb_is_found_before_it_is_unpacked(
    tmp_path: Path, bomb: bytes, told_bytes: int | None, code: UploadCode
) -> None:
    content = bomb if told_bytes is None else lying(bomb, told_bytes)
    tracemalloc.start()
    try:
        error = refused(tmp_path, content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == code
    assert ("larger than it says" in error.detail) == (told_bytes is not None)
    assert peak < 4 * 2**20


def test_two_cells_far_apart_are_refused_before_room_is_made_for_all_between(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.active["A1"], workbook.active["XFD1048576"] = "text", "far off"
    error = refused(tmp_path, saved(workbook))
    assert error.code == UploadCode.TOO_LARGE
    assert "spans 1,048,576 rows and 16,384 columns" in error.detail


@pytest.mark.parametrize(
    "cells",
    [
        '<row r="1"><c r="A1"/></row><row r="2"><c r="XFD1048576"><v>1</v></c></row>',  # the cell's own row counts
        '<row r="1"><c r="a1"><v>1</v></c></row><row r="2"><c r="xfd1048576"><v>1</v></c></row>',
    ],
)
def test_where_a_cell_says_that_it_is_counts(tmp_path: Path, cells: str) -> None:
    content = altered(sheet([["text"]]), SHEET, lambda xml: with_cells(xml, cells))
    assert refused(tmp_path, content).code == UploadCode.TOO_LARGE


@pytest.mark.parametrize(
    "cells",
    [
        '<row r="2"><c r="A1048577"><v>1</v></c></row>',
        '<row r="2"><c r="XFE2"><v>1</v></c></row>',
        '<row r="4000000000"><c><v>1</v></c></row>',
        '<row r="-7"><c><v>1</v></c></row>',
        '<row r="2"><c r="$A$2"><v>1</v></c></row>',
        "<row>" * 3 + "<c><v>1</v></c>" + "</row>" * 3,
        "<row>" + "<c>" * 3 + "<v>1</v>" + "</c>" * 3 + "</row>",
        "</sheetData><sheetData>",
    ],
)
def test_cells_that_readers_would_find_in_different_places_are_refused(tmp_path: Path, cells: str) -> None:
    content = altered(sheet([["text"], ["a"]]), SHEET, lambda xml: with_cells(xml, cells))
    assert refused(tmp_path, content).code == UploadCode.DAMAGED


def test_rows_without_a_number_whose_cells_have_one_are_not_lost(tmp_path: Path) -> None:
    rows = "".join(f'<row><c r="A{n}" t="inlineStr"><is><t>text {n}</t></is></c></row>' for n in (3, 7, 9))
    content = altered(sheet([["text"]]), SHEET, lambda xml: with_cells(xml, rows))
    assert [(row.line, row.cells) for row in read(tmp_path, content)] == [(n, {"text": f"text {n}"}) for n in (3, 7, 9)]


def with_cells(xml: bytes, cells: str) -> bytes:
    return xml.replace(b"</sheetData>", cells.encode() + b"</sheetData>")


def two_sheets(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> bytes:
    """A workbook of two sheets, with parts changed or added."""
    workbook = openpyxl.Workbook()
    for title, text in (("first", "right"), ("second", "wrong")):
        sheet = workbook.active if title == "first" else workbook.create_sheet(title)
        sheet.append(["text"])
        sheet.append([text])
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(workbook))) as old, zipfile.ZipFile(file, "w") as new:
        for name, content in change({name: old.read(name) for name in old.namelist()}).items():
            new.writestr(name, content)
    return file.getvalue()


def called_alike(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Two sheets of one name, the first of them said to be a chart."""
    second = b'worksheet" Target="/xl/worksheets/sheet2'
    relations = parts["xl/_rels/workbook.xml.rels"]
    assert second in relations
    relations = relations.replace(second, second.replace(b"worksheet", b"chartsheet", 1))
    book = parts["xl/workbook.xml"].replace(b'name="second"', b'name="first"')
    start, end = book.index(b"<sheet "), book.index(b"</sheets>")
    one, other = book[start:end].split(b"/>")[:2]
    book = book[:start] + other + b"/>" + one + b"/>" + book[end:]
    return parts | {"xl/_rels/workbook.xml.rels": relations, "xl/workbook.xml": book}


def another_workbook(parts: dict[str, bytes]) -> dict[str, bytes]:
    """A second list of sheets, which the archive's root names."""
    root = parts["_rels/.rels"].replace(b"xl/workbook.xml", b"xl/other.xml")
    relations = parts["xl/_rels/workbook.xml.rels"].replace(b"sheet1.xml", b"sheet2.xml")
    return parts | {
        "_rels/.rels": root, "xl/other.xml": parts["xl/workbook.xml"], "xl/_rels/other.xml.rels": relations,
    }  # fmt: skip


@pytest.mark.parametrize("change", [called_alike, another_workbook])
def test_no_sheet_is_read_but_the_one_that_was_looked_through(
    tmp_path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    content = two_sheets(change)
    path = saved_at(tmp_path / "upload", content)
    with path.open("rb") as file:
        looked_at = look_through(file, Limits()).part.filename
    assert looked_at.endswith("sheet1.xml")
    assert read(tmp_path, content) == [RawRow(2, {"text": "right"})]


@pytest.mark.parametrize("put", [b"wrong", b"wr"])
def test_a_part_that_is_not_what_was_packed_is_refused(tmp_path: Path, put: bytes) -> None:
    content = two_sheets(lambda parts: parts)  # not packed, so that its texts stand in it
    assert content.count(b"<t>right</t>") == 1
    error = refused(tmp_path, content.replace(b"<t>right</t>", b"<t>" + put.ljust(5) + b"</t>"))
    assert (error.code, "sheet1.xml is damaged" in error.detail) == (UploadCode.DAMAGED, True)


def test_dates_that_count_from_1904(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.epoch = CALENDAR_MAC_1904
    workbook.active.append(["text", "on"])
    workbook.active.append(["a", datetime.date(2024, 2, 29)])
    assert read(tmp_path, saved(workbook)) == [
        RawRow(2, {"text": "a", "on": SheetValue(datetime.date(2024, 2, 29), "B2")})
    ]


@pytest.mark.parametrize("days", [1e9, 1e300, -1e18])
def test_a_duration_beyond_all_calendars_fails_no_row_but_its_own(tmp_path: Path, days: float) -> None:
    workbook = openpyxl.Workbook()
    for row in (["text", "took"], ["a", 0.5], ["b", days], ["c", 0.5]):
        workbook.active.append(row)
        workbook.active.cell(workbook.active.max_row, 2).number_format = "[h]:mm"
    rows = read(tmp_path, saved(workbook))
    assert [row.line for row in rows] == [2, 3, 4]
    assert isinstance(rows[1].cells, Fault)
    assert (rows[1].cells.code, "row 3 holds" in rows[1].cells.detail) == (FaultCode.UNREADABLE_CELL, True)
    took = SheetValue(datetime.timedelta(hours=12), "B4")
    assert rows[2].cells == {"text": "c", "took": took}


def test_one_text_in_many_cells_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    content = sheet([["text"], *(["x" * 30_000] for _ in range(400))])
    assert refused(tmp_path, content, limits=Limits(most_sheet_bytes=11_000_000)).code == UploadCode.TOO_LARGE
    shared = saved_with_shared_strings(["text", *["x" * 30_000] * 400])
    assert len(read(tmp_path, shared)) == 400
    error = refused(tmp_path, shared, limits=Limits(most_sheet_bytes=11_000_000))
    assert (error.code, "characters" in error.detail) == (UploadCode.TOO_LARGE, True)


def saved_with_shared_strings(texts: list[str]) -> bytes:
    """A workbook of one column whose texts stand in the table of strings, each once, as Excel writes them."""
    names = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    table = list(dict.fromkeys(texts))
    strings = "".join(f"<si><t>{text}</t></si>" for text in table)
    cells = "".join(
        f'<row r="{row}"><c r="A{row}" t="s"><v>{table.index(text)}</v></c></row>'
        for row, text in enumerate(texts, start=1)
    )
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sheet([["text"]]))) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name).decode()
            if name == SHEET:
                content = f'<worksheet xmlns="{names}"><sheetData>{cells}</sheetData></worksheet>'
            elif name == "xl/_rels/workbook.xml.rels":
                kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
                relation = f'<Relationship Type="{kind}" Target="sharedStrings.xml" Id="rId99" />'
                content = content.replace("</Relationships>", f"{relation}</Relationships>")
            new.writestr(name, content)
        new.writestr("xl/sharedStrings.xml", f'<sst xmlns="{names}">{strings}</sst>')
    return file.getvalue()


def damaged(content: bytes, chosen: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chosen.choice([1, 2, 8])):
        place = chosen.randrange(len(changed))
        if chosen.random() < 0.7:
            changed[place] = chosen.randrange(256)
        else:
            del changed[place : place + chosen.randrange(1, 20)]
    return bytes(changed)


def test_damage_of_any_kind_is_told_as_such(tmp_path: Path) -> None:
    """Rows or an UploadError, nothing else; 300 archives with other bytes, and 300 with other parts."""
    chosen = random.Random(7)
    whole = sheet([["id", "text", "n"], *[["a", "b", 1], ["c", "=1", 2.5], ["d", "#N/A", True]] * 3])
    refused_ones = 0
    for number in range(600):
        if number % 2:
            content = damaged(whole, chosen)
        else:
            part = chosen.choice([SHEET, "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"])
            content = altered(whole, part, lambda xml: damaged(xml, chosen))
        try:
            read(tmp_path, content)
        except UploadError:
            refused_ones += 1
    assert 200 < refused_ones < 600
