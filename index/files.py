"""Files and folders as snapshots need them: on the disk when a call returns, arrays mapped."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import SnapshotDamagedError


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array, down to the disk."""
    np.save(path, array, allow_pickle=False)
    flush(path)


def save_matrix(path: Path, parts: Iterable[NDArray[Any]], shape: tuple[int, int], dtype: Any) -> None:
    """Write a matrix that is never in memory as a whole, as `save_array` would; not down to the disk.

    Args:
        path: Where.
        parts: Its rows in order, some at a time.
        shape: Of all of them together.
        dtype: Of its numbers.
    """
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)


def load_array(path: Path) -> NDArray[Any]:
    """Map an array into memory, or SnapshotDamagedError."""
    try:
        # As a plain array: each access through np.memmap's own class costs microseconds.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError as error:
        raise SnapshotDamagedError(str(path), str(error)) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, down to the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


def flush(path: Path) -> None:
    """Have a file's bytes, or a folder's names, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
