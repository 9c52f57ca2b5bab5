"""What is uploaded: a file, or records one after the other; streamed, never whole in memory."""

import io
import math
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from samesay.calls import Content, json_bytes
from samesay.errors import FileChangedError

Row = Mapping[str, Any] | bytes
"""A record as a mapping, or a piece of a file as bytes."""

Source = str | os.PathLike[str] | Iterable[Row] | AsyncIterable[Row]

_PIECE_BYTES: Final = 65_536
NDJSON: Final = "application/x-ndjson"
_TYPES: Final[Mapping[str, str]] = {
    ".ndjson": NDJSON,
    ".jsonl": NDJSON,
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".parquet": "application/vnd.apache.parquet",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_ENCODINGS: Final[Mapping[str, str]] = {".gz": "gzip", ".zst": "zstd"}


def upload_of(source: Source, content_type: str | None) -> tuple[Content, dict[str, str]]:
    """The content of an upload, and the headers that say what it is.

    Args:
        source: A file's path, or rows.
        content_type: What it is; by default what the file's name says, or NDJSON.

    Raises:
        ValueError: The file's name says nothing.
        TypeError: The source is what a file holds, or a file that was opened as text.
    """
    if isinstance(source, bytes | bytearray | memoryview | io.TextIOBase):
        raise TypeError(
            f"the source is a {type(source).__name__}: give the path of a file, or an iterable of records or of pieces "
            "of a file as bytes, such as open(path, 'rb') with its content_type"
        )
    if not isinstance(source, str | os.PathLike):
        return RowsContent(source), {"Content-Type": content_type or NDJSON}
    path = Path(source)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    encoding = _ENCODINGS.get(suffixes[-1]) if suffixes else None
    named = suffixes[-2:-1] if encoding else suffixes[-1:]
    found = content_type or (_TYPES.get(named[0]) if named else None)
    if found is None:
        raise ValueError(f"{path.name} does not say what it is: name it {', '.join(_TYPES)}, or give content_type")
    content = FileContent(path)
    headers = {"Content-Type": found}
    if content.size is not None:
        headers["Content-Length"] = str(content.size)
    return content, headers | ({"Content-Encoding": encoding} if encoding else {})


def pairs_of(columns: Mapping[str, str]) -> str:
    """The parameter `columns` of an import, with quotes around what has a comma."""
    pairs = (f"{ours}:{theirs}" for ours, theirs in columns.items())
    return ",".join('"' + pair.replace('"', '""') + '"' if "," in pair else pair for pair in pairs)


class FileContent:
    """A file as it is now: what is appended while it is sent is left out. Of a named pipe all that comes, once.

    Args:
        path: The file.

    Attributes:
        size: Bytes; None of a pipe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        status = path.stat()
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be read again."""
        return self.size is not None

    def pieces(self) -> Iterator[bytes]:
        """From the start.

        Raises:
            FileChangedError: It has become shorter.
        """
        left = math.inf if self.size is None else self.size
        with self._path.open("rb") as file:
            while left and (piece := file.read(int(min(_PIECE_BYTES, left)))):
                left -= len(piece)
                yield piece
        if left and self.size is not None:
            raise FileChangedError(f"{self._path} became shorter while it was sent: send it again when it is whole")

    async def pieces_async(self) -> AsyncIterator[bytes]:
        """From the start; reads from the disk without a thread, as a piece takes microseconds."""
        for piece in self.pieces():
            yield piece


class RowsContent:
    """Rows as lines of NDJSON; bytes among them as they are.

    Args:
        rows: Taken as they are sent, once.
    """

    def __init__(self, rows: Iterable[Row] | AsyncIterable[Row]) -> None:
        self._rows = rows

    @property
    def is_repeatable(self) -> bool:
        """A list can be gone through again; of anything else nobody knows."""
        return isinstance(self._rows, list | tuple)

    def pieces(self) -> Iterator[bytes]:
        """From the start.

        Raises:
            TypeError: The rows have to be awaited.
        """
        if not isinstance(self._rows, Iterable):
            raise TypeError(f"{type(self._rows).__name__} has to be awaited: use AsyncClient, or give an iterable")
        waiting = _Waiting()
        for row in self._rows:
            if waiting.add(row):
                yield waiting.take()
        yield waiting.take()

    async def pieces_async(self) -> AsyncIterator[bytes]:
        """From the start, of rows of either kind."""
        if isinstance(self._rows, Iterable):
            for piece in self.pieces():
                yield piece
            return
        waiting = _Waiting()
        async for row in self._rows:
            if waiting.add(row):
                yield waiting.take()
        yield waiting.take()


class _Waiting:
    """Rows that wait until they are worth a piece."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, row: Row) -> bool:
        """Whether there are enough now.

        Raises:
            TypeError: It is no row.
        """
        if not isinstance(row, bytes | Mapping):
            raise TypeError(f"a row is a {type(row).__name__}: give mappings, or pieces of a file as bytes")
        self._bytes += row if isinstance(row, bytes) else json_bytes(row) + b"\n"
        return len(self._bytes) >= _PIECE_BYTES

    def take(self) -> bytes:
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken
