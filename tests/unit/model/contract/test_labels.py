"""The labels column: hard, soft and unknown labels, in tables and in NDJSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.contract.dataset import read_rows
from model.contract.labels import Labels, parse_labels


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, Labels()),
        ("", Labels()),
        ("none", Labels()),
        ("a|b", Labels(("a", "b"))),
        (" a | b |", Labels(("a", "b"))),
        ("a|a", Labels(("a",))),
        ("a|b=0.7|?c", Labels(("a",), {"b": 0.7}, ("c",))),
        ("a=1|b=0|c=1.0", Labels(("a", "c"))),
        ("lang=en", Labels(("lang=en",))),
        ("lang=en=0.25", Labels((), {"lang=en": 0.25})),
        (["a", "?b", "c=0.5"], Labels(("a", "?b", "c=0.5"))),
        ({"a": 1, "b": 0.7, "c": None, "d": 0}, Labels(("a",), {"b": 0.7}, ("c",))),
    ],
)
def test_forms(cell: Any, expected: Labels) -> None:
    assert parse_labels(cell) == expected


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("a=1.5", "the weight 1.5 of label 'a' is not from 0 to 1"),
        ("a=-0.5", "the weight -0.5 of label 'a'"),
        ("a=nan", "the weight nan of label 'a' is no number"),
        ("?", "'' is no label"),
        ("=0.5", "'' is no label"),
        ("a|?a", "label 'a' is given twice, differently"),
        ("a|a=0.5", "label 'a' is given twice, differently"),
        ([7], "7 is no label"),
        ({"a": "x"}, "the weight 'x' of label 'a' is no number"),
        ({"a": True}, "the weight True of label 'a' is no number"),
        (3, "labels is 3"),
    ],
)
def test_what_is_no_label_is_named(cell: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_labels(cell)


def test_a_file_keeps_them_apart_and_names_bad_lines(tmp_path: Path) -> None:
    table = tmp_path / "a.tsv"
    table.write_text("text\tlabels\nx\ta|b=0.7|c=0.2|?d\ny\ta=2\nz\tnone\n")
    file = read_rows(table)
    row = file.rows[0]
    assert (row.labels, dict(row.label_weights), row.unknown_labels) == (("a",), {"b": 0.7, "c": 0.2}, ("d",))
    assert row.likely_labels == ("a", "b")
    assert [(bad.line, bad.reason[:26]) for bad in file.bad_rows] == [(3, "the weight 2.0 of label 'a'"[:26])]
    assert file.columns == {"text", "labels"}


def test_ndjson_has_lists_and_objects(tmp_path: Path) -> None:
    lines = [{"text": "x", "labels": ["a=b"]}, {"text": "y", "labels": {"a": 0.4, "b": None}, "intent": "g"}]
    path = tmp_path / "a.ndjson"
    path.write_text("\n".join(map(json.dumps, lines)))
    file = read_rows(path)
    assert [row.labels for row in file.rows] == [("a=b",), ()]
    assert (dict(file.rows[1].label_weights), file.rows[1].unknown_labels) == ({"a": 0.4}, ("b",))
    assert file.columns == {"text", "labels", "group"}
