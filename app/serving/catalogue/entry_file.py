"""Entries one after another in a file, with their offsets: written as a stream, read where it is mapped."""

import mmap
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.entry import HEAD, NO_METADATA, Entry

BYTES, OFFSETS = "entries.bin", "entries.npy"

_FIELDS: Final = 4


class Packed(NamedTuple):
    """Entries as they stand in a file.

    Attributes:
        data: Their bytes, one after another.
        lengths: (n, 4) int64, of the id, text, group and metadata of each.
    """

    data: bytes
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, entries: Sequence[bytes]) -> Self:
        """Entries of which each is packed by itself."""
        heads = b"".join([entry[:HEAD] for entry in entries])
        lengths = np.frombuffer(heads, "<u4").reshape(-1, _FIELDS).astype(np.int64)
        return cls(b"".join([entry[HEAD:] for entry in entries]), lengths)


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

    def append(self, packed: Packed) -> None:
        """Write some more."""
        self._ends.frombytes((self._ends[-1] + np.cumsum(packed.lengths)).tobytes())
        self._file.write(packed.data)

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
        self._starts = np.asarray(offsets)
        # a memoryview gives Python's own numbers, several times faster than an array does
        self._offsets = self._starts.data
        self._bytes: mmap.mmap | bytes = _map(folder / BYTES)

    def __len__(self) -> int:
        return self._n

    def get(self, rows: Iterable[int]) -> list[Entry]:
        """The entries of some rows, each of which there is."""
        return [self._read(row) for row in rows]

    def groups(self, rows: NDArray[np.int64]) -> list[str | None]:
        """The groups of (n,) rows, each of which there is."""
        source, first = self._bytes, _FIELDS * rows
        places = zip(self._starts[first + 2].tolist(), self._starts[first + 3].tolist(), strict=True)
        return [source[start:end].decode() if end > start else None for start, end in places]

    def packed(self, rows: NDArray[np.int64]) -> Packed:
        """The entries of (n,) rows, which are not empty, as they stand here: some ten times faster than `get`."""
        places = self._starts[_FIELDS * rows[:, None] + np.arange(_FIELDS + 1)]
        first, last = places[:, 0].tolist(), places[:, -1].tolist()
        if len(rows) == rows[-1] - rows[0] + 1 and (rows[1:] > rows[:-1]).all():
            data = self._bytes[first[0] : last[-1]]
        else:
            data = b"".join([self._bytes[start:end] for start, end in zip(first, last, strict=True)])
        return Packed(data, np.diff(places))

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
