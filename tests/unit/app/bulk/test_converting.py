"""What is converted, as the trainer reads it: the same from every form, and nothing lost that training learns from."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from app.bulk.converting import Converted, convert
from app.bulk.forms import Form, Packing, UploadForm
from app.bulk.reading.columns import ColumnMap
from app.bulk.reading.parsing import Rejected
from app.bulk.reading.rows import UploadError
from model.contract.dataset import Row, read_rows
from model.contract.errors import DatasetError

COLUMNS = ("问题", "标准问", "labels", "id", "note")
ROWS = [
    ("我要退款", "refund", "money|?angry", "a1", "x"),
    ("where is\tmy parcel", "parcel", "card=0.7", "", ""),
    ("什么是 GRU", "", "", "", ""),
]
WANTED = [
    Row(line=1, text="我要退款", group="refund", labels=("money",), unknown_labels=("angry",), id="a1"),
    Row(line=2, text="where is\tmy parcel", group="parcel", label_weights={"card": 0.7}),
    Row(line=3, text="什么是 GRU"),
]


def xlsx(path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (COLUMNS, *ROWS):
        book.active.append(row)
    book.save(path)


def parquet(path: Path) -> None:
    pq.write_table(pa.table({name: [row[n] for row in ROWS] for n, name in enumerate(COLUMNS)}), path)


def csv(path: Path) -> None:
    lines = [",".join(COLUMNS), *(",".join(f'"{cell}"' for cell in row) for row in ROWS)]
    path.write_bytes(gzip.compress("\n".join(lines).encode("gb18030")))


def ndjson(path: Path) -> None:
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in ROWS]
    path.write_bytes(zstandard.compress("\n".join(lines).encode()))


def converted(
    source: Path, form: UploadForm, *, columns: ColumnMap | None = None, **options: Any
) -> tuple[Converted, list[Row], list[Rejected]]:
    target, rejected = source.with_name("converted.ndjson"), list[Rejected]()
    columns = columns or ColumnMap({"text": "问题", "group": "标准问"})
    done = convert(source, target, form, columns, **{"max_rejected": 10, **options}, tell=rejected.append)
    return done, read_rows(target).rows, rejected


@pytest.mark.parametrize(
    ("write", "form", "packing"),
    [
        (xlsx, Form.XLSX, Packing.NONE),
        (parquet, Form.PARQUET, Packing.NONE),
        (csv, Form.CSV, Packing.GZIP),
        (ndjson, Form.NDJSON, Packing.ZSTD),
    ],
)
def test_of_every_form_the_trainer_reads_the_same(
    tmp_path: Path, write: Callable[[Path], None], form: Form, packing: Packing
) -> None:
    write(tmp_path / "source")
    columns = ColumnMap({"text": "问题", "group": "标准问"})
    done, rows, rejected = converted(tmp_path / "source", UploadForm(form, packing), columns=columns)
    assert (done, rejected) == (Converted(sentences=3), [])
    assert rows == WANTED
    assert columns.ignored_columns == ("note",)


def test_what_is_wrong_is_left_out_by_name_and_what_describes_a_group_too(tmp_path: Path) -> None:
    lines = [
        {"text": "one", "group": "g", "title": "G", "metadata": {"n": 1}, "labels": ["a", "b=0.2"]},
        {"group": "h", "title": "H"},
        {"text": 5, "group": "g"},
        {"text": "strange", "role": "out_of_scope"},
    ]
    (tmp_path / "source").write_text("\n".join(map(json.dumps, lines)))
    done, rows, rejected = converted(
        tmp_path / "source", UploadForm(Form.NDJSON, Packing.NONE), columns=ColumnMap(), max_rejected=1
    )
    assert done == Converted(sentences=2, groups=1, rejected=1)
    assert [(row.line, row.detail) for row in rejected] == [(3, "text: is 5; a string is wanted")]
    assert rows == [
        Row(line=1, text="one", group="g", title="G", metadata={"n": 1}, labels=("a", "b=0.2")),
        Row(line=2, text="strange", role="out_of_scope"),
    ]


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ('{"text": "a"}\n{"text": 1}\n{"text": 2}', DatasetError, "more than 1 rows of .* --max-rejected"),
        ('{"text": 1}', DatasetError, "has no row with a sentence"),
        ("", UploadError, "the file is empty"),
        ('{"sentiment": "a"}', UploadError, "there is no column text"),
    ],
)
def test_what_cannot_be_used_leaves_what_was_there(
    tmp_path: Path, content: str, error: type[Exception], said: str
) -> None:
    (tmp_path / "source").write_text(content)
    (tmp_path / "converted.ndjson").write_text("before")
    with pytest.raises(error, match=said):
        converted(tmp_path / "source", UploadForm(Form.NDJSON, Packing.NONE), columns=ColumnMap(), max_rejected=1)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "converted.ndjson"}
    assert (tmp_path / "converted.ndjson").read_text() == "before"
