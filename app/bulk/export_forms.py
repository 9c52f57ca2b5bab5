"""What an export can be written as."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.bulk.schemas import ExportForm


class NdjsonWriter:
    """A JSON object a line.

    Args:
        path: The file.
        dim: Of the vectors; None without any.
    """

    def __init__(self, path: Path, dim: int | None) -> None:
        self._file = path.open("wb")

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write some rows."""
        options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
        self._file.write(b"".join(orjson.dumps(row, option=options) for row in rows))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class ParquetWriter:
    """A column for each field; metadata and payload are JSON texts, since their fields differ from row to row.

    Args:
        path: The file.
        dim: Of the vectors; None without any.
    """

    def __init__(self, path: Path, dim: int | None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = [(name, pa.string()) for name in ("id", "text", "group", "title", "payload", "role", "metadata")]
        fields.append(("labels", pa.list_(pa.string())))
        if dim is not None:
            fields.append(("vector", pa.list_(pa.float32(), dim)))
        self._schema = pa.schema(fields)
        self._table = pa.Table.from_pylist
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write some rows, as a row group."""
        self._file.write_table(self._table([_flat(row) for row in rows], schema=self._schema))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A form of export: what writes it, and how it is handed out."""

    writer: type[NdjsonWriter] | type[ParquetWriter]
    media_type: str
    suffix: str

    @property
    def name(self) -> str:
        """Of the file in its job's folder."""
        return f"export{self.suffix}"


EXPORT_FILES: Final[Mapping[str, ExportFile]] = {
    ExportForm.NDJSON: ExportFile(NdjsonWriter, "application/x-ndjson", ".ndjson"),
    ExportForm.PARQUET: ExportFile(ParquetWriter, "application/vnd.apache.parquet", ".parquet"),
}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: orjson.dumps(row[name]).decode() for name in ("metadata", "payload") if row.get(name) is not None}
    return {**row, **texts}
