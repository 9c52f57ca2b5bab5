"""Entries one after another in a file, with their offsets: written as a stream, read where it is mapped."""

import mmap
from array import array
from collections.abc import Iterable
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.serving.entry import NO_METADATA, Entry

BYTES, OFFSETS = "entries.bin", "entries.npy"

_FIELDS: Final = 4


class EntryWriter:
    """Writes entries into a folder, in the order of their rows.

    An entry is its id, text, group and metadata in UTF-8; the offsets say where each begins. No group is a group of
    length 0, and no metadata is metadata of length 0.

    Args:
        folder: Gets the files `BYTES` and, when finished, `OFFSETS`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BufferedWriter = (folder / BYTES).open("wb")
        self._ends = array("q", [0])

    def append(self, entries: Iterable[Entry]) -> None:
        """Write some more."""
        at, ends, parts = self._ends[-1], self._ends, []
        for entry in entries:
            metadata = b"" if entry.metadata == NO_METADATA else entry.metadata
            for part in (entry.id.encode(), entry.text.encode(), (entry.group or "").encode(), metadata):
                at += len(part)
                ends.append(at)
                parts.append(part)
        self._file.write(b"".join(parts))

    def finish(self) -> None:
        """Write the offsets."""
        self._file.flush()
        np.save(self._folder / OFFSETS, np.frombuffer(self._ends, np.int64), allow_pickle=False)

    def close(self) -> None:
        """Let go of the file, whose bytes count only once all is finished."""
        with suppress(OSError):  # what a full disk keeps it from writing
            self._file.close()


class EntryFile:
    """Entries by row, read from the files of an `EntryWriter`; any thread.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        offsets: NDArray[np.int64] = np.load(folder / OFFSETS, mmap_mode="r", allow_pickle=False)
        self._n = (len(offsets) - 1) // _FIELDS
        # a memoryview gives Python's own numbers, several times faster than an array does
        self._offsets = np.asarray(offsets).data
        self._bytes: mmap.mmap | bytes = _map(folder / BYTES)

    def __len__(self) -> int:
        return self._n

    def get(self, rows: Iterable[int]) -> list[Entry]:
        """The entries of some rows, each of which there is."""
        return [self._read(row) for row in rows]

    def _read(self, row: int) -> Entry:
        source, first = self._bytes, _FIELDS * row
        key, text, group, metadata, end = self._offsets[first : first + _FIELDS + 1]
        return Entry(
            source[key:text].decode(),
            source[text:group].decode(),
            source[group:metadata].decode() if metadata > group else None,
            source[metadata:end] if end > metadata else NO_METADATA,
        )


def _map(path: Path) -> mmap.mmap | bytes:
    """The file's bytes, mapped; a file of no bytes cannot be."""
    if not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
