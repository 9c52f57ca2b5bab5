"""NDJSON, CSV and TSV: bad lines in their places, line ends, and lines without an end."""

import itertools
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.bulk.forms import Form, Packing
from app.bulk.reading import lines as lines_module
from app.bulk.reading.opening import open_rows
from app.bulk.reading.rows import Fault, FaultCode, Limits, RawRow, UploadCode, UploadError
from tests.fakes.uploads import PACKERS, codes, fault, growth_bytes, read, repeated, saved_at

MIB = 2**20
SEPARATORS = {Form.CSV: ",", Form.TSV: "\t"}


def refused(tmp_path: Path, content: bytes | str, form: Form, **options: Any) -> UploadError:
    with pytest.raises(UploadError) as caught:
        read(tmp_path, content, form, **options)
    return caught.value


def test_ndjson_gives_objects_with_the_numbers_of_their_lines(tmp_path: Path) -> None:
    rows = read(tmp_path, '{"text": "a\\u0000", "n": [1.5, null]}\r\n\n \t\n{"text": "退款"}', Form.NDJSON)
    assert rows == [RawRow(1, {"text": "a\0", "n": [1.5, None]}), RawRow(4, {"text": "退款"})]


@pytest.mark.parametrize("mark", ["", '"'])
def test_a_cell_of_csv_may_be_as_long_as_a_line(tmp_path: Path, mark: str) -> None:
    page = "x" * 900_000
    rows = read(tmp_path, f"text,page\na,{mark}{page}{mark}\nb,short\n", Form.CSV)
    assert rows == [RawRow(2, {"text": "a", "page": page}), RawRow(3, {"text": "b", "page": "short"})]


def test_bad_lines_of_ndjson(tmp_path: Path) -> None:
    lines = [b'{"a": 1}', b"[1]", b"{", b'"x"', b'{"a": NaN}', b'{"a": "\0"}', b'{"a": "\xff"}', b'{"a": "\\ud800"}']
    rows = read(tmp_path, b"\n".join([*lines, b'{"a": 2}']), Form.NDJSON)
    not_json = FaultCode.NOT_JSON
    assert codes(rows) == [
        (1, None),
        (2, not_json),
        (3, not_json),
        (4, not_json),
        (5, not_json),
        (6, FaultCode.NUL_CHARACTER),
        (7, FaultCode.WRONG_ENCODING),
        (8, not_json),
        (9, None),
    ]
    assert fault(rows[1]).detail == "a JSON object is wanted, not list: write one to a line"
    assert "byte 8 of the line is not utf-8" in fault(rows[6]).detail


@pytest.mark.parametrize("form", [Form.CSV, Form.TSV])
def test_ragged_rows_say_both_counts(tmp_path: Path, form: Form) -> None:
    separator = SEPARATORS[form]
    table = [["id", "text"], ["1", "a"], ["2"], ["3", "b", "c"], ["4", "d"]]
    rows = read(tmp_path, "\n".join(separator.join(line) for line in table), form)
    assert codes(rows) == [(2, None), (3, FaultCode.RAGGED_ROW), (4, FaultCode.RAGGED_ROW), (5, None)]
    assert [fault(rows[1]).detail, fault(rows[2]).detail] == [
        "1 cells where the header has 2",
        "3 cells where the header has 2",
    ]


def test_csv_is_quoted_and_counts_lines_across_cells(tmp_path: Path) -> None:
    rows = read(tmp_path, 'text,group\r\n"two\r\nlines, ""one"" cell",g1\r\n\r\nsay "hi",g2\r\n', Form.CSV)
    assert rows == [
        RawRow(2, {"text": 'two\r\nlines, "one" cell', "group": "g1"}),
        RawRow(5, {"text": 'say "hi"', "group": "g2"}),
    ]


def test_tsv_has_no_quoting(tmp_path: Path) -> None:
    rows = read(tmp_path, 'group\ttext\ng1\t"say hi\r\n \n\tout\rof scope', Form.TSV)
    assert rows == [
        RawRow(2, {"group": "g1", "text": '"say hi'}),
        RawRow(4, {"group": "", "text": "out\rof scope"}),
    ]


def test_a_carriage_return_alone_ends_a_line_of_csv(tmp_path: Path) -> None:
    assert read(tmp_path, 'text,group\rone,g\r"two\rlines",h', Form.CSV) == [
        RawRow(2, {"text": "one", "group": "g"}),
        RawRow(3, {"text": "two\rlines", "group": "h"}),
    ]


def test_an_unclosed_quote_costs_its_line_only(tmp_path: Path) -> None:
    content = 'text,group\ngood,g\n"open,g\nafter,g\nlast,g\n'
    rows = read(tmp_path, content, Form.CSV)
    assert codes(rows) == [(2, None), (3, FaultCode.UNCLOSED_QUOTE), (4, None), (5, None)]
    assert "the quotation mark opened in line 3 is not closed" in fault(rows[1]).detail
    assert rows[2].cells == {"text": "after", "group": "g"}


def test_an_unclosed_quote_that_meets_another_costs_its_line_only(tmp_path: Path) -> None:
    content = 'text,group\n"open,g\nafter,g\n"quoted, and ""closed""",g\nlast,g\n'
    rows = read(tmp_path, content, Form.CSV)
    assert codes(rows) == [(2, FaultCode.UNCLOSED_QUOTE), (3, None), (4, None), (5, None)]
    assert rows[2].cells == {"text": 'quoted, and "closed"', "group": "g"}


def test_text_after_a_closing_quote_is_one_bad_line(tmp_path: Path) -> None:
    rows = read(tmp_path, 'text,group\n"a" b,g\nfine,g\n', Form.CSV)
    assert codes(rows) == [(2, FaultCode.MALFORMED_QUOTES), (3, None)]


def test_an_unclosed_quote_in_a_large_csv(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(b"id,text\n")
        file.writelines(repeated(b'r%d,"what is asked here"\n', 100_000))
        file.write(b'open,"never closed\n')
        file.writelines(repeated(b"s%d,what is asked there\n", 300_000))
    rows, bad = 0, []
    for row in open_rows(path, Form.CSV):
        rows += 1
        if isinstance(row.cells, Fault):
            bad.append(row)
    assert rows == 400_001
    assert codes(bad) == [(100_002, FaultCode.UNCLOSED_QUOTE)]
    assert "opened in line 100002" in fault(bad[0]).detail


def test_a_record_of_too_many_lines_or_bytes_ends_there(tmp_path: Path) -> None:
    content = 'text\n"' + "x\n" * 50 + '"\nafter\n'
    rows = read(tmp_path, content, Form.CSV, limits=Limits(most_record_lines=20))
    assert (rows[0].line, fault(rows[0]).code) == (2, FaultCode.UNCLOSED_QUOTE)
    assert "not closed within 20 lines" in fault(rows[0]).detail
    assert rows[-1] == RawRow(53, {"text": "after"})
    assert codes(read(tmp_path, content, Form.CSV, limits=Limits(most_line_bytes=40)))[0] == (2, "unclosed_quote")
    assert read(tmp_path, content, Form.CSV)[0].cells == {"text": "x\n" * 50}


@pytest.mark.parametrize("form", [Form.NDJSON, Form.CSV, Form.TSV])
def test_a_line_of_200_megabytes_is_one_fault_and_never_held(tmp_path: Path, form: Form) -> None:
    header, line = {
        Form.NDJSON: (b"", b'{"text": "fine"}\n'),
        Form.CSV: (b"text\n", b"fine\n"),
        Form.TSV: (b"text\n", b"fine\n"),
    }[form]
    path = tmp_path / "upload"
    with path.open("wb") as file:
        file.write(header + line)
        for _ in range(200):
            file.write(b"x" * MIB)
        file.write(b"\n" + line)
    tracemalloc.start()
    try:
        rows = list(open_rows(path, form))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    first = 2 if header else 1
    assert codes(rows) == [(first, None), (first + 1, FaultCode.LINE_TOO_LONG), (first + 2, None)]
    assert "longer than 1,048,576 bytes" in fault(rows[1]).detail
    assert peak < 12 * MIB


@pytest.mark.parametrize("form", [Form.CSV, Form.TSV])
def test_a_nul_character_is_one_fault(tmp_path: Path, form: Form) -> None:
    assert codes(read(tmp_path, b"text\na\nb\0b\nc\n", form)) == [(2, None), (3, FaultCode.NUL_CHARACTER), (4, None)]


def test_a_bad_line_inside_a_quoted_cell_spoils_its_record_only(tmp_path: Path) -> None:
    content = b'text,group\n"one\nt\xffo\nthree",g\nfine,g\n'
    assert codes(read(tmp_path, content, Form.CSV)) == [(2, FaultCode.WRONG_ENCODING), (5, None)]


@pytest.mark.parametrize("form", [Form.NDJSON, Form.CSV, Form.TSV])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", UploadCode.EMPTY),
        (b"PAR1 and so on", UploadCode.WRONG_FORM),
        (b"PK\x03\x04 and so on", UploadCode.WRONG_FORM),
        (b"\x1f\x8b and so on", UploadCode.WRONG_FORM),
        (b"\x28\xb5\x2f\xfd and so on", UploadCode.WRONG_FORM),
        (b"\xd0\xcf\x11\xe0 and so on", UploadCode.WRONG_FORM),
        (b"\n \n\n", UploadCode.NO_ROWS),
    ],
)
def test_files_without_a_row(tmp_path: Path, form: Form, content: bytes, code: UploadCode) -> None:
    assert refused(tmp_path, content, form).code == code


@pytest.mark.parametrize("form", [Form.CSV, Form.TSV])
def test_rows_of_blank_cells_are_none(tmp_path: Path, form: Form) -> None:
    separator = SEPARATORS[form].encode()
    lines = [b"id", b"a", b"", b" ", b"b", b""]
    content = b"".join(separator.join([line, line + b"2"] if line.strip() else [line, line]) + b"\n" for line in lines)
    rows = read(tmp_path, content, form)
    assert rows == [RawRow(2, {"id": "a", "id2": "a2"}), RawRow(5, {"id": "b", "id2": "b2"})]


@pytest.mark.parametrize("form", [Form.CSV, Form.TSV])
def test_a_header_alone_or_a_bad_one(tmp_path: Path, form: Form) -> None:
    assert refused(tmp_path, b"text\n", form).code == UploadCode.NO_ROWS
    error = refused(tmp_path, b"te\0xt\nfine\n", form)
    assert (error.code, "line 1" in error.detail) == (UploadCode.BAD_HEADER, True)


def test_a_million_bad_rows_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    with path.open("wb") as file:
        file.write(b"id,text\n")
        file.writelines(repeated(b"r%d\n", 1_000_000))
    rows = open_rows(path, Form.CSV)
    count, growth = growth_bytes((row for row in rows if isinstance(row.cells, Fault)), every=5000)
    assert count == 1_000_000
    assert growth < 30 * MIB


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("form", [Form.NDJSON, Form.CSV, Form.TSV])
def test_skipped_rows_are_those_read_before(tmp_path: Path, form: Form, packing: Packing) -> None:
    padding = b"x" * 100
    if form is Form.NDJSON:
        content = b"".join(b'{"text": "%d%s"}\n' % (n, padding) if n % 7 else b"\n{\n" for n in range(30_000))
    else:
        content = b"text\n" + b"".join(b"%d%s\n" % (n, padding) if n % 7 else b"\n\0\n" for n in range(30_000))
    assert len(content) > 2 * MIB
    path = saved_at(tmp_path / "upload", PACKERS[packing](content))
    rows = list(open_rows(path, form, packing))
    for skip in (1, 7, 15_000, 29_999, 30_000, 40_000):
        assert list(open_rows(path, form, packing, skip_rows=skip)) == rows[skip:]


LIMITS = Limits(most_line_bytes=24, most_record_lines=3)
SOUP = st.lists(st.sampled_from([*',"\n\rab\0\té{}', "\r\n", '{"a":1}', "x" * 30, '""', "\n\n"]), max_size=40)


@example(',,é{"a":1}{"a":1}""""""\r', Form.NDJSON, 1)  # as long as is taken, but for its end
@given(SOUP.map("".join), st.sampled_from([Form.NDJSON, Form.CSV, Form.TSV]), st.integers(1, 9))
def test_rows_do_not_depend_on_how_the_file_is_cut(
    tmp_path_factory: pytest.TempPathFactory, content: str, form: Form, chunk: int
) -> None:
    path = saved_at(tmp_path_factory.getbasetemp() / "soup", "t,u\n" + content + "\n{}")

    def rows(skip: int = 0) -> list[RawRow]:
        return list(open_rows(path, form, charset="utf-8", limits=LIMITS, skip_rows=skip))

    whole = rows()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "_CHUNK_BYTES", chunk)
        assert rows() == whole
        for skip in range(1, len(whole) + 1):
            assert rows(skip) == whole[skip:]
    numbers = [row.line for row in whole]
    assert numbers == sorted(set(numbers))


def slow_csv(content: str) -> Iterator[list[str]]:
    """RFC 4180 written out again, character by character, for files in which all is well."""
    cells, cell, quoted, position = [], "", False, 0
    while position < len(content):
        char, following = content[position], content[position + 1 : position + 2]
        if quoted:
            if char == '"' and following == '"':
                cell, position = cell + '"', position + 1
            elif char == '"':
                quoted = False
            else:
                cell += char
        elif char == '"':
            quoted = True
        elif char == ",":
            cells, cell = [*cells, cell], ""
        elif char == "\n":
            yield [*cells, cell]
            cells, cell = [], ""
        else:
            cell += char
        position += 1


def test_csv_reads_as_rfc_4180_has_it(tmp_path: Path) -> None:
    chosen = random.Random(5)
    cells = ["a", "", "b c", '"q"', '"a,b"', '"two\nlines"', '"say ""hi"""', '"\n"', "退款"]
    pairs = (",".join(chosen.choices(cells, k=3)) for _ in itertools.repeat(None, 3000))
    content = "x,y,z\n" + "".join(line + "\n" for line in pairs)
    told = [line for line in list(slow_csv(content))[1:] if any(cell.strip() for cell in line)]
    assert len(told) < 3000
    expected = [dict(zip("xyz", line, strict=True)) for line in told]
    assert [row.cells for row in read(tmp_path, content, Form.CSV)] == expected
