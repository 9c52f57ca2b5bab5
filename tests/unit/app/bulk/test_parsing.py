"""Rows to records and groups: what is taken, what is rejected, form by form."""

import datetime
import hashlib
from pathlib import Path
from typing import Any

import pytest

from app.bulk.forms import Form
from app.bulk.reading.columns import ColumnMap
from app.bulk.reading.opening import open_rows
from app.bulk.reading.parsing import GroupDraft, GroupRow, Parsed, RecordRow, Rejected, RowParser
from app.bulk.reading.rows import Fault, FaultCode, RawRow, SheetValue, UploadCode, UploadError
from app.record.schemas import RecordDraft
from app.record.tables import Role, Source
from tests.fakes.uploads import WRITERS, parquet, saved_at, sheet


def parse(cells: dict[str, Any], form: Form = Form.NDJSON, **renames: str) -> Parsed:
    return RowParser(ColumnMap(renames), form).parse(RawRow(7, cells))


def record(cells: dict[str, Any], form: Form = Form.NDJSON, **renames: str) -> RecordDraft:
    parsed = parse(cells, form, **renames)
    assert isinstance(parsed, RecordRow), parsed
    return parsed.record


def reason(cells: dict[str, Any], form: Form = Form.NDJSON) -> str:
    parsed = parse(cells, form)
    assert isinstance(parsed, Rejected), parsed
    assert (parsed.line, parsed.code) == (7, FaultCode.INVALID_VALUE)
    return parsed.detail


def test_a_whole_record() -> None:
    cells = {
        "id": " r1 ",
        "text": " verbatim ",
        "group": "g",
        "title": "T",
        "payload": {"a": [1]},
        "labels": {"b": 0.7, "a": 1, "c": 0.2, "d": None},
        "role": "example",
        "metadata": {"n": 1},
        "metadata.x": ["y"],
        "more": 1,
    }
    assert parse(cells) == RecordRow(
        7,
        RecordDraft(
            id="r1",
            text=" verbatim ",
            group="g",
            labels=("a", "b"),
            role=Role.EXAMPLE,
            metadata={"n": 1, "x": ["y"]},
            source=Source.IMPORT,
        ),
        GroupDraft("g", "T", {"a": [1]}),
    )


def test_a_record_out_of_scope_has_no_group() -> None:
    for form, blank in ((Form.NDJSON, None), (Form.CSV, "")):
        found = record({"text": "a", "group": blank, "role": "out_of_scope"}, form)
        assert (found.group, found.role) == (None, Role.OUT_OF_SCOPE)


def test_an_id_is_made_of_the_content_where_none_is_given() -> None:
    expected = hashlib.sha256("g\n退款".encode()).hexdigest()[:20]
    for cells in ({"text": "退款", "group": " g "}, {"text": "退款", "group": "g", "id": " "}):
        assert record(cells).id == expected
    assert record({"text": "退款", "id": None}).id != expected


def test_a_row_of_a_group_alone() -> None:
    assert parse({"group": "g", "title": "T"}) == GroupRow(7, GroupDraft("g", "T", None))
    assert parse({"group": "g", "payload": 0, "text": None}) == GroupRow(7, GroupDraft("g", None, 0))
    cells = {"text": "", "id": "", "group": "g", "title": "", "payload": "P"}
    assert parse(cells, Form.CSV) == GroupRow(7, GroupDraft("g", None, "P"))


@pytest.mark.parametrize(
    ("cells", "detail"),
    [
        ({"group": "g"}, "text: is missing"),
        ({"group": "g", "title": "T", "id": "r1"}, "text: is missing"),
        ({"title": "T"}, "text: is missing"),
        ({"text": "", "group": "g", "title": "T"}, "text: is empty or blank"),
        ({"text": " \n"}, "text: is empty or blank"),
        ({"text": 7}, "text: is 7; a string is wanted"),
        ({"text": "a\0"}, "text: holds a NUL character"),
        ({"text": "退" * 40_000}, "text: is 120000 bytes long"),
        ({"text": "a", "group": 7}, "group: is 7; a string is wanted"),
        ({"text": "a", "id": 7}, "id: is 7; a string is wanted"),
        ({"text": "a", "id": "a/b"}, "id: holds a slash"),
        ({"text": "a", "id": "x" * 257}, "id: "),
        ({"text": "a", "group": ".."}, "group: is a dot or two"),
        ({"group": "..", "title": "T"}, "group: is a dot or two"),
        ({"text": "a", "role": "extra"}, "role: "),
        ({"text": "a", "group": "g", "role": "out_of_scope"}, "role: give group or the role out_of_scope, not both"),
        ({"text": "a", "labels": 7}, "labels: labels is 7"),
        ({"text": "a", "labels": {"x": 2}}, "labels: the weight 2 of label 'x'"),
        ({"text": "a", "labels": ["x/y"]}, "labels/0: holds a slash"),
        ({"text": "a", "metadata": "{"}, "metadata is not JSON"),
        ({"text": "a", "metadata": [1]}, "metadata must be an object"),
        ({"text": "a", "metadata": []}, "metadata must be an object"),
        ({"text": "a", "metadata": False}, "metadata must be an object"),
        ({"text": "a", "metadata": {"deep": {}}}, "metadata/deep"),
        ({"text": "a", "metadata": {str(n): None for n in range(3000)}}, "metadata/0: give a string"),
        ({"text": "a", "metadata": {str(n): n for n in range(5000)}}, "metadata: has 5000 fields, the most is 4096"),
        ({"text": "a", "metadata": {"x": 1}, "metadata.x": 2}, "'x' stands in it and in column 'metadata.x'"),
        ({"text": "a", "group": "g", "title": "x" * 1001}, "title: "),
        ({"text": "a", "group": "g", "payload": ["x" * 70_000]}, "payload: is 70004 bytes long"),
        ({"text": "a", "payload": "x"}, "payload: belongs to a group"),
    ],
)
def test_what_is_rejected_names_the_field(cells: dict[str, Any], detail: str) -> None:
    assert detail in reason(cells)


def test_a_fault_is_handed_on() -> None:
    fault = Fault(FaultCode.RAGGED_ROW, "1 cells where the header has 2")
    assert RowParser(ColumnMap(), Form.CSV).parse(RawRow(3, fault)) == Rejected(3, *fault)


def test_a_rejected_row_does_not_show_through_what_is_kept_of_others() -> None:
    parser = RowParser(ColumnMap(), Form.NDJSON)
    cells: list[Any] = [["a", "b"], "['a', 'b']", ["a", "b"], {"a": 1}, "a|b", [1], "a|b"]
    parsed = [parser.parse(RawRow(n, {"text": "x", "labels": cell})) for n, cell in enumerate(cells)]
    found = [row.record.labels if isinstance(row, RecordRow) else row.detail for row in parsed]
    assert found == [
        ("a", "b"),
        ("['a', 'b']",),
        ("a", "b"),
        ("a",),
        ("a", "b"),
        "labels: 1 is no label; a string is wanted",
        ("a", "b"),
    ]


def test_columns_may_differ_from_row_to_row() -> None:
    parser = RowParser(ColumnMap(), Form.NDJSON)
    rows = [{"text": "a", "group": "g"}, {"sentence": "b"}, {"group": "h", "text": "c"}, {"phrase": "d"}]
    parsed = [parser.parse(RawRow(n, row)) for n, row in enumerate(rows)]
    found = [(row.record.text, row.record.group) if isinstance(row, RecordRow) else row.detail for row in parsed]
    assert found == [("a", "g"), ("b", None), ("c", "h"), "text: is missing"]


@pytest.mark.parametrize(
    ("cell", "payload"),
    [
        ("plain text", "plain text"),
        ("007", "007"),
        ('{"a": 1}', {"a": 1}),
        (' ["x"]', ["x"]),
        ('"007"', "007"),
        ("[Note] as it is", "[Note] as it is"),
        ("{name}, hello", "{name}, hello"),
        ('"quoted" at first', '"quoted" at first'),
    ],
)
@pytest.mark.parametrize("form", [Form.CSV, Form.TSV, Form.XLSX, Form.PARQUET])
def test_payloads_of_tables_are_json_or_text_as_it_is(form: Form, cell: str, payload: Any) -> None:
    parsed = parse({"text": "a", "group": "g", "payload": cell}, form)
    assert isinstance(parsed, RecordRow) and parsed.group is not None
    assert parsed.group.payload == payload


@pytest.mark.parametrize(("form", "payload"), [(Form.CSV, "1.5"), (Form.XLSX, "1.5"), (Form.PARQUET, 1.5)])
def test_scalar_payloads_are_json_in_parquet_only(form: Form, payload: Any) -> None:
    """Exports write JSON there; in other tables `true` or `007` is what somebody has typed."""
    parsed = parse({"text": "a", "group": "g", "payload": "1.5"}, form)
    assert isinstance(parsed, RecordRow) and parsed.group == GroupDraft("g", None, payload)


def test_payloads_of_ndjson_are_what_they_are() -> None:
    parsed = parse({"text": "a", "group": "g", "payload": '{"a": 1}'})
    assert isinstance(parsed, RecordRow) and parsed.group == GroupDraft("g", None, '{"a": 1}')


def test_metadata_of_text_forms_are_strings_and_empty_ones_none() -> None:
    cells = {"text": "a", "metadata": '{"n": 1}', "metadata.a": "7", "metadata.b": ""}
    assert record(cells, Form.CSV).metadata == {"n": 1, "a": "7"}
    assert record({"text": "a", "metadata.b": "", "metadata.c": None}, Form.NDJSON).metadata == {"b": ""}


def test_a_column_under_another_name_is_named_where_it_is_empty() -> None:
    parsed = parse({"phrase": "", "id": "r"}, Form.CSV, text="phrase")
    assert parsed == Rejected(7, FaultCode.INVALID_VALUE, "text: is missing (column 'phrase')")


def parse_sheet(tmp_path: Path, lines: list[list[Any]]) -> list[Parsed]:
    path = saved_at(tmp_path / "a.xlsx", sheet(lines))
    columns = ColumnMap()
    parser = RowParser(columns, Form.XLSX)
    return [parser.parse(row) for row in open_rows(path, Form.XLSX, columns=columns)]


def test_excel_ids_that_are_numbers_are_refused_by_their_cell(tmp_path: Path) -> None:
    rows = parse_sheet(tmp_path, [["text", "id"], ["a", 7], ["b", 1e15], ["c", 1.5], ["d", "007"]])
    details = [row.detail for row in rows if isinstance(row, Rejected)]
    assert len(details) == 3
    assert "id: cell B2 is the number 7; Excel keeps this id as a number, 1e15 and 007 would be lost" in details[0]
    assert "cell B3 is the number 1e+15" in details[1]
    assert all("format the column as text" in detail for detail in details)
    assert isinstance(rows[3], RecordRow) and rows[3].record.id == "007"


def test_excel_texts_and_groups_that_are_whole_numbers_are_taken(tmp_path: Path) -> None:
    rows = parse_sheet(tmp_path, [["text", "group", "labels"], [10086, 3, 5], ["a", 2.5, None], [1e15, "g", None]])
    assert isinstance(rows[0], RecordRow)
    assert (rows[0].record.text, rows[0].record.group, rows[0].record.labels) == ("10086", "3", ("5",))
    assert isinstance(rows[1], Rejected) and "group: cell B3 is the number 2.5" in rows[1].detail
    assert isinstance(rows[2], Rejected) and "text: cell A4 is the number 1e+15" in rows[2].detail


def test_excel_booleans_dates_and_times_are_no_texts(tmp_path: Path) -> None:
    cells = [True, datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3), datetime.time(3, 4)]
    rows = parse_sheet(tmp_path, [["text"], *([cell] for cell in cells)])
    details = [row.detail for row in rows if isinstance(row, Rejected)]
    kinds = ["a boolean", "a date", "a date", "a time"]
    assert details == [
        f"text: cell A{row} is {kind}, not text: format the column as text and type it again"
        for row, kind in enumerate(kinds, start=2)
    ]


def test_excel_metadata_and_payloads_keep_their_kind(tmp_path: Path) -> None:
    header = ["text", "group", "payload", *(f"metadata.{name}" for name in "abcdefg")]
    moment = datetime.datetime(2024, 1, 2, 3, 4)
    values = [7, 1.5, True, moment.date(), moment, "x", None]
    (row,) = parse_sheet(tmp_path, [header, ["a", "g", 7, *values]])
    assert isinstance(row, RecordRow) and row.group == GroupDraft("g", None, 7)
    expected = {"a": 7, "b": 1.5, "c": True, "d": "2024-01-02", "e": "2024-01-02T03:04:00", "f": "x"}
    assert row.record.metadata == expected
    assert type(row.record.metadata["a"]) is int


def test_parquet_ids_and_groups_may_be_whole_numbers(tmp_path: Path) -> None:
    table = [{"id": 2**53 + 1, "label": 3, "text": "a", "metadata.n": 1}]
    path = saved_at(tmp_path / "a.parquet", parquet(table))
    columns = ColumnMap()
    (raw,) = open_rows(path, Form.PARQUET, columns=columns)
    row = RowParser(columns, Form.PARQUET).parse(raw)
    assert isinstance(row, RecordRow)
    assert (row.record.id, row.record.group, row.record.metadata) == ("9007199254740993", "3", {"n": 1})
    assert "id: is 1.0; a string is wanted" in reason({"text": "a", "id": 1.0}, Form.PARQUET)
    assert "group: is True" in reason({"text": "a", "group": True}, Form.PARQUET)
    assert "text: is 7" in reason({"text": 7}, Form.PARQUET)


@pytest.mark.parametrize("form", list(Form))
def test_a_file_without_a_text_is_refused_at_once(tmp_path: Path, form: Form) -> None:
    path = saved_at(tmp_path / "upload", WRITERS[form]([{"phrase": "a", "intent": "b"}]))
    for skip in (0, 1):  # where reading goes on later, too
        with pytest.raises(UploadError, match="'phrase', 'intent'") as caught:
            list(open_rows(path, form, columns=ColumnMap(), skip_rows=skip))
        assert caught.value.code == UploadCode.MISSING_COLUMN
    (raw,) = open_rows(path, form, columns=ColumnMap({"text": "Phrase"}))
    row = RowParser(ColumnMap({"text": "Phrase"}), form).parse(raw)
    assert isinstance(row, RecordRow) and (row.record.text, row.record.group) == ("a", "b")


def test_an_object_without_a_text_fails_no_other_where_it_is_the_first(tmp_path: Path) -> None:
    path = saved_at(tmp_path / "upload", b'{"id": "r1", "topic": "b"}\n[]\n{"id": "r2", "text": "a"}\n')
    columns = ColumnMap()
    parsed = [RowParser(columns, Form.NDJSON).parse(raw) for raw in open_rows(path, Form.NDJSON, columns=columns)]
    assert [(type(row).__name__, row.line) for row in parsed] == [("Rejected", 1), ("Rejected", 2), ("RecordRow", 3)]
    assert columns.ignored_columns == ("topic",)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("form", [Form.PARQUET, Form.XLSX])
def test_a_number_that_is_none_is_told_as_such(form: Form, value: float) -> None:
    cell = SheetValue(value, "B2") if form is Form.XLSX else value
    assert f"column 'metadata.n' is {value}, which JSON lacks" in reason({"text": "a", "metadata.n": cell}, form)


def test_values_of_a_spreadsheet_know_their_cell() -> None:
    assert "cell D9" in reason({"text": "a", "id": SheetValue(3.0, "D9")}, Form.XLSX)
    assert "metadata must be an object" in reason({"text": "a", "metadata": SheetValue(3.0, "D9")}, Form.XLSX)
