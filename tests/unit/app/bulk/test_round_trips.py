"""What others write is read as it was written: each form, each packing, any text."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.bulk.forms import Form, Packing, form_of
from app.bulk.reading.columns import ColumnMap
from app.bulk.reading.content_ids import content_id
from app.bulk.reading.opening import open_rows
from app.bulk.reading.parsing import RecordRow, RowParser
from model.contract.dataset import Row, read_rows
from tests.fakes.uploads import PACKERS, WRITERS, growth_bytes, parquet, repeated, saved_at

ANY = st.characters(exclude_categories=["Cs"])
WITHOUT_NUL = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PRINTED = st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="_\u2028\u2029")
LETTERS = {
    Form.NDJSON: ANY,
    Form.CSV: WITHOUT_NUL,
    Form.TSV: st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r"),
    Form.PARQUET: ANY,
    Form.XLSX: PRINTED,
}
FIRST_ROWS = {Form.NDJSON: 1, Form.PARQUET: 1, Form.CSV: 2, Form.TSV: 2, Form.XLSX: 2}


def rows_of(form: Form) -> st.SearchStrategy[list[dict[str, str]]]:
    cell = st.text(LETTERS[form], max_size=12)
    if form is Form.XLSX:
        cell = cell.filter(lambda text: text == text.strip() and not text.startswith(("=", "#")))
    row = st.fixed_dictionaries({"id": cell.filter(bool), "group": cell, "text": cell})
    if form in (Form.CSV, Form.TSV):  # a line of blank cells is no row
        row = row.filter(lambda cells: any(map(str.strip, cells.values())))
    return st.lists(row, min_size=1, max_size=8)


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("form", list(Form))
@settings(max_examples=25)
@given(data=st.data())
def test_rows_come_back(
    tmp_path_factory: pytest.TempPathFactory, form: Form, packing: Packing, data: st.DataObject
) -> None:
    rows = data.draw(rows_of(form))
    content = PACKERS[packing](WRITERS[form](rows))
    path = saved_at(tmp_path_factory.getbasetemp() / "round_trip", content)
    assert form_of(form.content_type, packing.content_encoding, content[:4])[:2] == (form, packing)
    read = list(open_rows(path, form, packing, charset="utf-8"))
    assert [row.cells for row in read] == rows
    if form in (Form.NDJSON, Form.PARQUET, Form.XLSX):
        assert [row.line for row in read] == list(range(FIRST_ROWS[form], FIRST_ROWS[form] + len(rows)))


NAMES = st.text(st.sampled_from("ab退 "), max_size=4)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "id": NAMES,
            "text": st.text(st.sampled_from('ab退款"，, '), min_size=1, max_size=8).filter(str.strip),
            "group": NAMES,
            "labels": st.sampled_from(["", "none", "a", "a|b", "a=0.7|b=0.2|?c", "a|a", " a | b "]),
            "role": st.sampled_from(["", "example", "out_of_scope"]),
            "metadata": st.sampled_from(["", '{"a": 1, "b": ["x"]}', "{}"]),
            "other": NAMES,
        }
    ).filter(lambda row: row["role"] != "out_of_scope" or not row["group"].strip()),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("form", [Form.NDJSON, Form.CSV, Form.TSV])
@given(rows=RECORDS, spelling=st.sampled_from([str.lower, str.upper, " {} ".format]))
def test_a_file_gives_the_records_that_the_command_line_makes_of_it(
    tmp_path_factory: pytest.TempPathFactory, form: Form, rows: list[dict[str, str]], spelling: Any
) -> None:
    if form is not Form.NDJSON:
        rows = [{spelling(name): value for name, value in row.items()} for row in rows]
    path = saved_at(tmp_path_factory.getbasetemp() / f"agreed.{form}", WRITERS[form](rows))
    expected = {row.line: as_record(row) for row in read_rows(path).rows}
    columns = ColumnMap()
    parser = RowParser(columns, form)
    parsed = [parser.parse(row) for row in open_rows(path, form, columns=columns)]
    for row in parsed:
        assert isinstance(row, RecordRow)
        found = row.record.model_dump(mode="json", exclude_defaults=True)
        wanted = expected.pop(row.line)
        assert found.pop("labels", []) == sorted(wanted.pop("labels", []))
        assert found == {name: value for name, value in wanted.items() if (name, value) != ("role", "example")}
    assert not expected
    assert [name.strip().lower() for name in columns.ignored_columns] == ["other"]


def as_record(row: Row) -> dict[str, Any]:
    """What the trainer's reader finds in a row, as a record."""
    record: dict[str, Any] = {"id": row.id or content_id(row.text, row.group), "text": row.text, "source": "import"}
    record |= {"group": row.group} if row.group is not None else {}
    record |= {"labels": list(row.likely_labels)} if row.likely_labels else {}
    record |= {"role": row.role} if row.role is not None else {}
    return record | ({"metadata": dict(row.metadata)} if row.metadata else {})


ROWS = 200_000


def large(form: Form, path: Path) -> Path:
    if form is Form.PARQUET:
        return saved_at(path, parquet([{"id": f"r{n}", "text": f"how do I do {n}? " * 5} for n in range(ROWS)]))
    separator = {Form.CSV: b",", Form.TSV: b"\t"}.get(form)
    with path.open("wb") as file:
        if separator is None:
            file.writelines(repeated(b'{"id": "r%d", "text": "' + b"how do I do that? " * 5 + b'"}\n', ROWS))
        else:
            file.write(b"id" + separator + b"text\n")
            file.writelines(repeated(b"r%d" + separator + b"how do I do that? " * 5 + b"\n", ROWS))
    return path


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("form", [Form.NDJSON, Form.CSV, Form.TSV, Form.PARQUET])
def test_reading_200_000_rows_takes_little_memory(tmp_path: Path, form: Form, packing: Packing) -> None:
    path = large(form, tmp_path / "large")
    if packing is not Packing.NONE:
        path = saved_at(tmp_path / "packed", PACKERS[packing](path.read_bytes()))
    next(open_rows(path, form, packing))  # what is imported on first use is not the rows' memory
    count, growth = growth_bytes(open_rows(path, form, packing))
    assert count == ROWS
    assert growth < 50 * 2**20
