"""Taking turns at writing to a SQLite file, among the processes that do: a server and its workers."""

import fcntl
import os
from pathlib import Path


class WriteTurn:
    """Held while a transaction writes. Use as a context manager, from one thread.

    SQLite lets whoever happens to look at the right moment go first: beside one that writes without a pause another
    waits for seconds. Here the next one already holds the door when the turn ends, so that nobody is passed twice.

    Args:
        database: The database file; the locks lie beside it.
    """

    def __init__(self, database: Path) -> None:
        self._door = _open(database.with_name(f"{database.name}-door"))
        self._desk = _open(database.with_name(f"{database.name}-desk"))

    def __enter__(self) -> None:
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._desk, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._desk, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._door)
        os.close(self._desk)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
