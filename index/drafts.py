"""Folders that are being written, each held by its writer; one that nobody holds is what a crash has left."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from index.files import make_folder

LEFT_OVER: Final = ".tmp-"
"""What the names of drafts begin with, and those of what is about to be removed."""

_HELD: Final = "held"


@dataclass(frozen=True, slots=True)
class Draft:
    """A folder that is being written.

    Attributes:
        folder: Where.
        lock: Descriptor of the lock on it; whoever inherits it holds the folder too.
    """

    folder: Path
    lock: int


@contextmanager
def drafting(parent: Path, name: str) -> Iterator[Draft]:
    """A new folder, held until the block ends or the process dies; at the end it goes, with what is in it.

    Args:
        parent: Where; made if need be.
        name: A part of its name.

    Raises:
        OSError: The disk refused.
    """
    make_folder(parent)
    draft = _make(parent, name)
    try:
        yield draft
    finally:
        os.close(draft.lock)  # first: on NFS a folder with an open file in it cannot be removed
        shutil.rmtree(draft.folder, ignore_errors=True)


def remove_dead_drafts(parent: Path) -> None:
    """Remove the drafts that no process holds, on this machine or another.

    Raises:
        OSError: One could not be removed.
    """
    for folder in parent.glob(f"{LEFT_OVER}*"):
        with suppress(FileNotFoundError, BlockingIOError):  # another removes it just now, or it is held
            _claim(folder)
            remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, which others may be removing too.

    Raises:
        OSError: Something could not be removed.
    """
    while folder.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


def _make(parent: Path, name: str) -> Draft:
    while True:
        folder = parent / f"{LEFT_OVER}{name}-{uuid.uuid4().hex}"
        folder.mkdir()
        with suppress(FileNotFoundError):  # taken for dead before it was held
            lock = os.open(folder / _HELD, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(lock, folder / _HELD):
                return Draft(folder, lock)
            os.close(lock)


def _claim(folder: Path) -> None:
    """See that nobody holds a draft, and that nobody who is just making it takes it for held."""
    lock = os.open(folder / _HELD, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / _HELD).unlink()
    finally:
        os.close(lock)


def _is_at(descriptor: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
