"""Reading files of sentences: forms, encodings, bad rows and the error budget."""

import gzip
import json
from pathlib import Path

import pytest

from model.contract.dataset import BadRow, cross_group_duplicates, read_rows, text_key
from model.contract.errors import DatasetError


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_tsv_has_no_quoting(tmp_path: Path) -> None:
    file = read_rows(write(tmp_path, "a.tsv", 'group\ttext\ng1\tsay "hi" to \'em\n\tout of scope\r\n'))
    assert [(row.line, row.group, row.text) for row in file.rows] == [
        (2, "g1", 'say "hi" to \'em'),
        (3, None, "out of scope"),
    ]


def test_csv_is_quoted_and_lines_are_counted_across_cells(tmp_path: Path) -> None:
    file = read_rows(write(tmp_path, "a.csv", 'text,label\n"two\nlines, one cell",g1\nplain,g2\n'))
    assert [(row.text, row.group) for row in file.rows] == [("two\nlines, one cell", "g1"), ("plain", "g2")]
    assert [row.line for row in file.rows] == [2, 4]


def test_a_long_cell_of_a_column_of_no_use_does_not_matter(tmp_path: Path) -> None:
    file = read_rows(write(tmp_path, "a.csv", f"text,label,page\na,g,{'x' * 200_000}\nb,g,short\n"))
    assert ([row.text for row in file.rows], file.bad_rows) == (["a", "b"], [])


def test_ndjson_carries_labels_metadata_and_ids(tmp_path: Path) -> None:
    entry = {"id": "r1", "text": "hi", "group": "g", "labels": ["a", "b"], "metadata": {"n": 1}, "role": "example"}
    row = read_rows(write(tmp_path, "a.ndjson", json.dumps(entry) + "\n\n")).rows[0]
    assert (row.id, row.labels, dict(row.metadata), row.role) == ("r1", ("a", "b"), {"n": 1}, "example")


def test_what_is_out_of_scope_has_no_group_whatever_the_file_says(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, "a.tsv", "text\tgroup\trole\nx\tg\tout_of_scope\ny\tg\texample\n")).rows
    assert [(row.group, row.role) for row in rows] == [(None, "out_of_scope"), ("g", "example")]


def test_labels_with_bars_and_none(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, "a.tsv", "text\tlabels\nx\ta|b\ny\tnone\nz\t\n")).rows
    assert [row.labels for row in rows] == [("a", "b"), (), ()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    content = "group\ttext\n退款\t怎么申请退款，急！\n".encode(encoding)
    file = read_rows(write(tmp_path, "a.tsv", content))
    assert (file.rows[0].group, file.rows[0].text) == ("退款", "怎么申请退款，急！")
    assert file.encoding == encoding.removesuffix("-sig")


def test_a_stray_byte_does_not_turn_a_file_into_another_encoding(tmp_path: Path) -> None:
    content = "group\ttext\n" + "g\tI don’t know\n" * 20
    with pytest.raises(DatasetError, match="line 22 is not UTF-8"):
        read_rows(write(tmp_path, "a.tsv", content.encode() + b"g\tI can\x92t pay\n"))


def test_bytes_of_no_encoding_name_their_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 3 is not UTF-8, which the file seems to be in; save"):
        read_rows(write(tmp_path, "a.tsv", b"group\ttext\ng\tfine\ng\t\xff\xff\xff\n"))


def test_bad_rows_are_reported_by_line_and_the_rest_is_kept(tmp_path: Path) -> None:
    lines = ["group\ttext", "g\tfine", "g", "g\t  ", "g\tnul\0", "g\t" + "x" * 100_001, "g\tfine too"]
    file = read_rows(write(tmp_path, "a.tsv", "\n".join(lines)))
    assert [row.line for row in file.rows] == [2, 7]
    assert file.bad_rows == [
        BadRow(3, "1 cells where the header has 2"),
        BadRow(4, "text is empty"),
        BadRow(5, "text holds a NUL character"),
        BadRow(6, "text is longer than 100000 bytes"),
    ]


def test_wrong_json_types_are_bad_rows(tmp_path: Path) -> None:
    lines = [
        '{"text": "ok", "group": "g"}',
        "[1]",
        "{",
        '{"text": 3}',
        '{"text": "a", "group": 7}',
        '{"text": "a", "metadata": [1]}',
    ]
    file = read_rows(write(tmp_path, "a.jsonl", "\n".join(lines)))
    assert [row.line for row in file.rows] == [1]
    assert [bad.line for bad in file.bad_rows] == [2, 3, 4, 5, 6]
    assert file.bad_rows[3].reason == 'group is 7; a string is wanted, such as "7"'


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.tsv", ["group\ttext", "g\tx", "g\ty"]),
        ("a.csv", ["group,text", "g,x", "g,y"]),
        ("a.tsv", ["text", "x", "y"]),
    ],
)
def test_empty_lines_are_no_bad_rows(tmp_path: Path, name: str, lines: list[str]) -> None:
    file = read_rows(write(tmp_path, name, f"{lines[0]}\n{lines[1]}\n\r\n\n{lines[2]}\n\n\n"))
    assert [(row.line, row.text) for row in file.rows] == [(2, "x"), (5, "y")]
    assert file.bad_rows == []


def test_the_error_budget(tmp_path: Path) -> None:
    ten_bad = "group\ttext\n" + "g\tfine\n" * 50 + "broken\n" * 10
    assert len(read_rows(write(tmp_path, "ten.tsv", ten_bad)).bad_rows) == 10
    with pytest.raises(DatasetError, match=r"11 bad rows, more than the error budget. line 52: 1 cells"):
        read_rows(write(tmp_path, "eleven.tsv", ten_bad + "broken\n"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "group\tphrase\ng\tx\n", "has no column text or sentence"),
        ("a.tsv", "text\nx\n", "has no column group or group_id.*; call one so in the first line, the header"),
        ("a.jsonl", '{"phrase": "x"}\n', "has no column text .*only 'phrase' .*; give each object one"),
        ("a.tsv", "group,text\ng,x\n", "only .group,text. .* by tabs in a .tsv"),
        ("a.tsv", "", "has no column text|holds no usable row"),
        ("a.csv", "text;group\nx;g\n", "only 'text;group' .* separate the columns by commas in a .csv"),
        ("a.csv", 'text;group\n"x";g\n', "line 2: .*; separate the columns by commas in a .csv"),
        ("a.xml", "<x/>", "unknown form '.xml'"),
        ("a.csv", 'text,group\n"open,g\n', "line 2"),
    ],
)
def test_unusable_files_say_why(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_rows(write(tmp_path, name, content), need=["group"])


def test_a_missing_file_and_a_compressed_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such file"):
        read_rows(tmp_path / "none.tsv")
    with pytest.raises(DatasetError):
        read_rows(write(tmp_path, "a.tsv", gzip.compress(b"group\ttext\ng\tx\n")))


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet", "a.tsv.gz", "a"])
def test_a_file_in_a_form_that_imports_take_and_trainings_do_not(tmp_path: Path, name: str) -> None:
    """No character of it says anything of its encoding."""
    (tmp_path / name).write_bytes(bytes(range(256)))
    with pytest.raises(DatasetError, match=r"unknown form .*; give a \.tsv, \.csv, \.ndjson or \.jsonl, not packed"):
        read_rows(tmp_path / name)


def test_text_key_ignores_width_case_punctuation_and_space() -> None:
    assert text_key("Ｈｏｗ  are you?!") == text_key("how are you") == "howareyou"
    assert text_key("怎么退款？") == text_key("怎么 退款")
    assert text_key("???") == "???"  # nothing but punctuation stays itself


def test_text_key_keeps_numbers_apart() -> None:
    different = ["v 3.5", "v 35", "v 3-5", "v 3 5", "v 1.10", "v 11.0", "v 110", "v 1,10"]
    assert len({text_key(text) for text in different}) == len(different)
    assert text_key("V３．５ !") == text_key("v 3.5") == "v3.5"
    assert text_key("v3  5") == text_key("v 3, 5.") == "v3 5"
    assert text_key("XJ-200") == text_key("xj 200")


def test_duplicates_across_groups(tmp_path: Path) -> None:
    content = "group\ttext\na\tSame thing\nb\tsame thing!\na\tother\na\tother\n"
    found = cross_group_duplicates(read_rows(write(tmp_path, "a.tsv", content)).rows)
    assert {key: [row.line for row in rows] for key, rows in found.items()} == {"samething": [2, 3]}


@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_the_case_of_a_header_does_not_matter(tmp_path: Path, name: str, separator: str) -> None:
    row = read_rows(write(tmp_path, name, f"Group{separator} Text\ng{separator}Hello\n")).rows[0]
    assert (row.group, row.text) == ("g", "Hello")


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_a_column_that_stands_twice_is_named_and_others_may(tmp_path: Path, name: str) -> None:
    separator = "\t" if name == "a.tsv" else ","
    rows = [["Text", "group", "text "], ["a sentence", "g", "a note"]]
    with pytest.raises(DatasetError, match="has 2 columns called 'text': rename all but one"):
        read_rows(write(tmp_path, name, "\n".join(map(separator.join, rows))))
    rows = [["text", "", "group", "", "note", "note"], ["a sentence", "1", "g", "2", "3", "4"]]
    assert read_rows(write(tmp_path, name, "\n".join(map(separator.join, rows)))).rows[0].group == "g"


def test_what_json_can_say_and_nobody_can_store_is_left_out(tmp_path: Path) -> None:
    lines = [
        '{"text": "good", "group": "g"}',
        "[" * 100_000,
        json.dumps({"text": "t", "group": "g", "metadata": "[" * 100_000}),
        r'{"text": "t", "group": "g\ud800"}',
        r'{"text": "t", "labels": "a|b\udfff"}',
    ]
    file = read_rows(write(tmp_path, "a.ndjson", "\n".join(lines)))
    assert [row.text for row in file.rows] == ["good"]
    told = [(bad.line, bad.reason) for bad in file.bad_rows]
    assert told == [
        (2, "a value is nested hundreds of levels deep: flatten it"),
        (3, "metadata is nested hundreds of levels deep: flatten it"),
        (4, r"group is 'g\ud800', which holds half a surrogate pair"),
        (5, "a label holds half a surrogate pair"),
    ]
