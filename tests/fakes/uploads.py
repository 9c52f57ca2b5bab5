"""Files to upload, written by others than the code under test; and how much memory reading them takes."""

import csv
import gc
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from app.bulk.forms import Form, Packing
from app.bulk.reading.opening import open_rows
from app.bulk.reading.rows import Fault, FaultCode, RawRow

Rows = Sequence[Mapping[str, Any]]


def ndjson(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def table(rows: Rows, **dialect: Any) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def tsv(rows: Rows) -> bytes:
    names = list(rows[0])
    lines = ["\t".join(names), *("\t".join(row[name] for name in names) for row in rows)]
    return "".join(line + "\n" for line in lines).encode()


def parquet(rows: Sequence[Mapping[str, Any]] | pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows)), file, **options)
    return file.getvalue()


def sheet(lines: Iterable[Sequence[Any]]) -> bytes:
    """A workbook of one worksheet; strings are strings, whatever they look like, but formulas."""
    workbook = openpyxl.Workbook()
    for line in lines:
        workbook.active.append(list(line))
    return saved(workbook)


def saved(workbook: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def xlsx(rows: Rows) -> bytes:
    names = list(rows[0])
    return sheet([names, *([row[name] for name in names] for row in rows)])


WRITERS = {Form.NDJSON: ndjson, Form.CSV: table, Form.TSV: tsv, Form.PARQUET: parquet, Form.XLSX: xlsx}
PACKERS = {Packing.NONE: bytes, Packing.GZIP: gzip.compress, Packing.ZSTD: zstandard.compress}


def saved_at(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def growth_bytes(items: Iterable[Any], *, every: int = 500) -> tuple[int, int]:
    """How many items there are, and how much this process grows at the most while they are read."""
    process = psutil.Process()
    gc.collect()
    before = peak = process.memory_info().rss
    count = 0
    for count, _ in enumerate(items, start=1):
        if count % every == 0:
            peak = max(peak, process.memory_info().rss)
    return count, max(peak, process.memory_info().rss) - before


def repeated(line: bytes, times: int) -> Iterator[bytes]:
    """Numbered lines in pieces; `%d` in the line is the number."""
    for start in range(0, times, 1000):
        yield b"".join(line % number for number in range(start, min(start + 1000, times)))


def read(tmp_path: Path, content: bytes | str, form: Form, **options: Any) -> list[RawRow]:
    """The rows of an upload of this form."""
    return list(open_rows(saved_at(tmp_path / "upload", content), form, **options))


def codes(rows: Iterable[RawRow]) -> list[tuple[int, FaultCode | None]]:
    """Line and fault of each row, None of one that has none."""
    return [(row.line, row.cells.code if isinstance(row.cells, Fault) else None) for row in rows]


def fault(row: RawRow) -> Fault:
    """What is wrong with a row that is none."""
    assert isinstance(row.cells, Fault)
    return row.cells
