"""How `columns` of an import is written."""

import csv

import pytest

from app.bulk.renames import read_renames
from app.errors import InvalidValueError


@pytest.mark.parametrize(
    "written",
    [
        "text:question,group:intent",
        ' text : question , "group:a, b" ',
        '"text:a, b","group:c"',
        '"text:the ""question"", as asked"',
        'text:the "question"',
        ",text:question,,",
    ],
)
def test_pairs_are_split_as_a_line_of_csv_is(written: str) -> None:
    (line,) = csv.reader([written], skipinitialspace=True)
    pairs = [cell.partition(":") for cell in line if cell.strip()]
    assert read_renames(written) == {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


@pytest.mark.parametrize("written", ["text:question, as asked", "text:a,text:b", "text", "text:", '"text:a, b'])
def test_what_is_written_otherwise_is_refused_with_the_way_to_write_it(written: str) -> None:
    with pytest.raises(InvalidValueError, match='with quotes around: "text:question, as asked"'):
        read_renames(written)
