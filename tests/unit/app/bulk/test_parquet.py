"""Parquet: kinds of columns, ids that are numbers, what is refused, and rows that are skipped."""

import random
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from app.bulk.counting import count_rows
from app.bulk.forms import Form, Packing
from app.bulk.reading.opening import open_rows
from app.bulk.reading.rows import Fault, FaultCode, Limits, RawRow, UploadCode, UploadError
from tests.fakes.uploads import growth_bytes, parquet, saved_at


class Only:
    """Chooses these columns."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def choose(self, found: Sequence[str], *, of_every_row: bool) -> Collection[str]:
        assert of_every_row
        return [name for name in found if name in self.names]


def read(tmp_path: Path, table: pa.Table | bytes, **options: Any) -> list[RawRow]:
    content = table if isinstance(table, bytes) else parquet(table)
    return list(open_rows(saved_at(tmp_path / "upload", content), Form.PARQUET, **options))


def refused(tmp_path: Path, table: pa.Table | bytes, **options: Any) -> UploadError:
    with pytest.raises(UploadError) as caught:
        read(tmp_path, table, **options)
    return caught.value


TEXTS = ["退款", None, "b"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.large_string()),
    ],
)
def test_kinds_of_strings(tmp_path: Path, kind: pa.DataType) -> None:
    rows = read(tmp_path, pa.table({"text": pa.array(TEXTS, pa.string()).cast(kind)}))
    assert rows == [RawRow(row, {"text": text}) for row, text in enumerate(TEXTS, start=1)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_that_are_text(tmp_path: Path, kind: pa.DataType) -> None:
    rows = read(tmp_path, pa.table({"text": pa.array([text and text.encode() for text in TEXTS], kind)}))
    assert [row.cells for row in rows] == [{"text": text} for text in TEXTS]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"good", b"\xff", b"fine"], pa.binary()),
        pa.array([b"good", b"\xff", b"fine"], pa.binary()).view(pa.string()),
        pa.array([b"good", b"\xff", b"fine"], pa.binary()).dictionary_encode(),
        pa.array([[b"good"], [b"\xff"], [b"fine"]], pa.list_(pa.binary())),
    ],
)
def test_bytes_that_are_none_are_a_fault_of_their_row(tmp_path: Path, column: pa.Array) -> None:
    rows = read(tmp_path, pa.table({"text": column}))
    assert [isinstance(row.cells, Fault) for row in rows] == [False, True, False]
    assert rows[1].cells == Fault(FaultCode.WRONG_ENCODING, "column 'text' is not UTF-8: write text, or UTF-8 bytes")
    assert rows[2].cells in ({"text": "fine"}, {"text": ["fine"]})


def test_numbers_booleans_and_lists_of_strings(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([2**63, 7], pa.uint64()),
            "metadata.price": pa.array([1.5, None]),
            "metadata.on": [True, False],
            "labels": pa.array([["a", "b"], []], pa.large_list(pa.large_string())),
            "none": pa.nulls(2),
        }
    )
    assert [row.cells for row in read(tmp_path, table)] == [
        {"id": 2**63, "metadata.price": 1.5, "metadata.on": True, "labels": ["a", "b"], "none": None},
        {"id": 7, "metadata.price": None, "metadata.on": False, "labels": [], "none": None},
    ]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([{"a": 1}]), "struct<a: int64>"),
        (pa.array([[1, 2]]), "list<"),
        (pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string())), "map<string, string"),
        (pa.array([1], pa.timestamp("ns")), "timestamp[ns]"),
        (pa.array([1], pa.date32()), "date32[day]"),
    ],
)
def test_columns_that_are_nested_or_of_other_kinds_are_refused_if_used(
    tmp_path: Path, column: pa.Array, kind: str
) -> None:
    table = pa.table({"text": ["a"], "metadata": column})
    error = refused(tmp_path, table)
    assert error.code == UploadCode.UNREADABLE_COLUMN
    assert f"column 'metadata' is {kind}" in error.detail
    assert read(tmp_path, table, columns=Only("text")) == [RawRow(1, {"text": "a"})]


def test_names_with_dots_are_columns_like_others(tmp_path: Path) -> None:
    table = pa.table({"metadata": ["{}"], "metadata.a": ["x"], "metadata.b": ["y"]})
    rows = read(tmp_path, table, columns=Only("metadata", "metadata.b"))
    assert rows == [RawRow(1, {"metadata": "{}", "metadata.b": "y"})]


@pytest.mark.parametrize("skip", [0, 1, 999, 1000, 1001, 2999, 3000, 5000])
def test_skipping_goes_by_row_groups(tmp_path: Path, skip: int) -> None:
    path = saved_at(tmp_path / "upload", parquet([{"text": str(n)} for n in range(3000)], row_group_size=1000))
    rows = list(open_rows(path, Form.PARQUET, skip_rows=skip))
    assert rows == [RawRow(n + 1, {"text": str(n)}) for n in range(skip, 3000)]


def test_a_file_without_rows_and_damaged_ones(tmp_path: Path) -> None:
    whole = parquet([{"text": "a" * 1000}] * 5000, compression="zstd")
    assert refused(tmp_path, pa.table({"text": pa.array([], pa.string())})).code == UploadCode.NO_ROWS
    assert refused(tmp_path, whole[: len(whole) // 2]).code == UploadCode.DAMAGED
    assert refused(tmp_path, b"PAR1 but nothing of it PAR1").code == UploadCode.DAMAGED
    damaged = whole[:4] + b"\xff" * 60 + whole[64:]
    assert refused(tmp_path, damaged).code == UploadCode.DAMAGED
    assert refused(tmp_path, b"text\nfine\n").code == UploadCode.WRONG_FORM


def test_damage_of_any_kind_is_told_as_such(tmp_path: Path) -> None:
    """Rows or an UploadError, nothing else, counted or read; 600 files with another byte, half of them early."""
    chosen = random.Random(7)
    texts = pa.array(["a", "b", None] * 50).dictionary_encode()
    whole = parquet(pa.table({"text": texts, "labels": [["x"]] * 150, "metadata.n": range(150)}))
    refused_ones = 0
    for number in range(600):
        damaged = bytearray(whole)
        damaged[chosen.randrange(len(whole) if number % 2 else 60)] = chosen.randrange(256)
        path = saved_at(tmp_path / "upload", bytes(damaged))
        count_rows(path, Form.PARQUET, Packing.NONE, Limits(), lambda _: None)
        try:
            list(open_rows(path, Form.PARQUET))
        except UploadError:
            refused_ones += 1
    assert 100 < refused_ones < 600


def test_a_file_that_unpacks_to_too_much(tmp_path: Path) -> None:
    table = pa.table({"text": [str(n) * 200 for n in range(5000)], "other": ["x"] * 5000})
    error = refused(tmp_path, table, limits=Limits(most_unpacked_bytes=100_000))
    assert error.code == UploadCode.TOO_LARGE
    assert "100,000" in error.detail


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems bound it otherwise")
def test_a_string_of_many_rows_that_memory_does_not_hold_ends_the_reading_alone(tmp_path: Path) -> None:
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), pa.array(["x" * (16 * 2**20)]))
    content = parquet(
        pa.table({"text": repeated}), compression="zstd", dictionary_pagesize_limit=2**30, store_schema=False
    )
    assert len(content) < 10_000
    script = (
        "import sys; from pathlib import Path\n"
        "from app.bulk.forms import Form; from app.bulk.reading.opening import open_rows\n"
        "from app.memory import bounded_memory\n"
        "try:\n"
        "    with bounded_memory(2**30): list(open_rows(Path(sys.argv[1]), Form.PARQUET))\n"
        "except MemoryError: print('bounded', len(bytearray(2**30)))\n"
    )
    path = saved_at(tmp_path / "upload", content)
    command = [sys.executable, "-c", script, str(path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "bounded 1073741824\n"


def test_a_long_string_of_many_rows_is_not_held_for_all_of_them(tmp_path: Path) -> None:
    path = saved_at(tmp_path / "upload", parquet([{"text": "x" * 200_000}] * 4000, compression="zstd"))
    assert path.stat().st_size < 2**20
    count, growth = growth_bytes(open_rows(path, Form.PARQUET), every=100)
    assert count == 4000
    assert growth < 250 * 2**20  # 256 rows of it, and once more as Python's strings: a hundred megabytes
