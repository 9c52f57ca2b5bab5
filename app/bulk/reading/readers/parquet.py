"""Parquet: a batch of rows at a time, the columns of use only."""

from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

from app.bulk.reading.rows import Columns, Fault, FaultCode, Limits, RawRow, UploadCode, UploadError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MOST_BATCH_ROWS: Final = 256
"""Few: a long string that many rows share is one in the file and as many in memory."""
_BATCH_BYTES: Final = 16 * 2**20
_BUFFER_BYTES: Final = 2**20


def read_parquet(file: IO[bytes], *, limits: Limits, columns: Columns | None, skip_rows: int) -> Iterator[RawRow]:
    """Rows of Parquet: strings, bytes that are text, numbers, booleans and lists of strings.

    Raises:
        UploadError: It is damaged, too large, or a column of use holds something else.
        MemoryError: What some rows unpack to is not told by anything in the file.
    """
    parquet = _open(file)
    wanted = _wanted(parquet.schema_arrow, columns)
    batch_rows = _batch_rows(parquet.metadata, limits)
    groups, done = _groups_after(parquet.metadata, skip_rows)
    for batch in _batches(parquet, groups, wanted, batch_rows):
        start = min(max(skip_rows - done, 0), len(batch))
        yield from _rows(batch.slice(start), wanted, done + start + 1)
        done += len(batch)


def _open(file: IO[bytes]) -> "pq.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        list(parquet.schema_arrow.names)  # decoded when they are asked for, and may be damaged too
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from None
    return parquet


def _damaged(error: Exception) -> UploadError:
    return UploadError(UploadCode.DAMAGED, f"the Parquet file cannot be read: {error}; write it again")


def _wanted(schema: "pa.Schema", columns: Columns | None) -> list[str]:
    """The columns to read."""
    chosen = set(schema.names if columns is None else columns.choose(schema.names, of_every_row=True))
    wanted = [name for name in dict.fromkeys(schema.names) if name in chosen]
    for name in wanted:
        if not _is_readable(schema.field(name).type):
            detail = (
                f"column {name!r} is {schema.field(name).type}, which is not read: make it strings, numbers or booleans"
                " (metadata and payload as JSON text, labels also as a list of strings)"
            )
            raise UploadError(UploadCode.UNREADABLE_COLUMN, detail)
    return wanted


def _is_readable(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    if _is_list(kind):
        return _is_text(kind.value_type)
    if types.is_dictionary(kind):
        kind = kind.value_type
    plain = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return _is_text(kind) or any(is_plain(kind) for is_plain in plain)


def _is_list(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    kinds: tuple[Callable[[pa.DataType], bool], ...] = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_fixed_size_binary,
        types.is_binary_view,
    )
    return any(is_text(kind) for is_text in kinds)


def _batch_rows(metadata: "pq.FileMetaData", limits: Limits) -> int:
    """Rows to hold at a time: fewer where they are long."""
    # Of whole row groups: asking for what a column takes ends the process where a file's statistics are damaged.
    total: int = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if total > limits.most_unpacked_bytes:
        detail = f"the file unpacks to {total:,} bytes, the most that is taken is {limits.most_unpacked_bytes:,}"
        raise UploadError(UploadCode.TOO_LARGE, f"{detail}: split it")
    row_bytes: int = max(1, total // max(1, metadata.num_rows))
    return min(_MOST_BATCH_ROWS, max(1, _BATCH_BYTES // row_bytes))


def _groups_after(metadata: "pq.FileMetaData", skip_rows: int) -> tuple[list[int], int]:
    """The row groups that hold what comes after so many rows, and how many rows come before them."""
    before = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if before + rows > skip_rows:
            return list(range(group, metadata.num_row_groups)), before
        before += rows
    return [], before


def _batches(
    parquet: "pq.ParquetFile", groups: list[int], wanted: Sequence[str], rows: int
) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa

    if not groups:
        return
    batches = parquet.iter_batches(batch_size=rows, row_groups=groups, columns=list(wanted), use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(error) from None
        if batch is None:
            return
        yield batch


def _rows(batch: "pa.RecordBatch", wanted: Sequence[str], first_row: int) -> Iterator[RawRow]:
    faults: dict[int, Fault] = {}
    try:
        columns = [_values(batch.column(name), name, faults) for name in wanted]
    except IndexError as error:  # of a dictionary that is too short
        raise _damaged(error) from None
    if not columns:
        yield from (RawRow(row, {}) for row in range(first_row, first_row + len(batch)))
        return
    for row, cells in enumerate(zip(*columns, strict=True)):
        fault = faults.get(row) if faults else None
        yield RawRow(first_row + row, dict(zip(wanted, cells, strict=True)) if fault is None else fault)


def _values(array: "pa.Array", name: str, faults: dict[int, Fault]) -> list[Any]:
    """A column's cells; where one is bytes that are no text, its row has a fault."""
    import pyarrow.types as types

    if types.is_dictionary(array.type):
        missing: dict[int, Fault] = {}
        distinct = _values(array.dictionary, name, missing)
        indices = array.indices.to_pylist()
        faults.update((row, missing[index]) for row, index in enumerate(indices) if missing and index in missing)
        return [None if index is None else distinct[index] for index in indices]
    values, are_bytes = _listed(array)
    for row, value in enumerate(values if are_bytes else ()):
        try:
            values[row] = _text(value)
        except UnicodeDecodeError:
            faults[row] = Fault(FaultCode.WRONG_ENCODING, f"column {name!r} is not UTF-8: write text, or UTF-8 bytes")
    return values


def _listed(array: "pa.Array") -> tuple[list[Any], bool]:
    """A column's cells, and whether they are bytes yet to be decoded; strings may prove to be no UTF-8."""
    import pyarrow as pa
    import pyarrow.types as types

    kind = array.type
    inner = kind.value_type if _is_list(kind) else kind
    try:
        return array.to_pylist(), _is_text(inner) and not (types.is_string(inner) or types.is_large_string(inner))
    except UnicodeDecodeError:
        return array.cast(pa.large_list(pa.large_binary()) if _is_list(kind) else pa.large_binary()).to_pylist(), True


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value
