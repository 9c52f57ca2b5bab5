"""The data folder: held by one server at a time, or by all those of one PostgreSQL database."""

import fcntl
import os
import shutil
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from app.errors import DataFolderBusyError, StartupError

_log = structlog.get_logger(__name__)


class DataFolder:
    """A lock on the folder that dies with the process. Use as a context manager.

    Args:
        path: The folder; made where it is missing.
        is_shared: Whether other servers may hold it too, all of them shared.
    """

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self.path = path
        self._kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
        self._lock = path / "lock"
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            DataFolderBusyError: Another server has it; names its process.
            StartupError: It cannot be written.
        """
        make_folder(self.path)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, self._kind | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "an unknown process"
            os.close(descriptor)
            raise DataFolderBusyError(
                f"{self.path} is held by another server ({holder}): stop it, or give another --data folder"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def belong_to(self, database_id: str) -> None:
        """Throw away snapshots that another database's collections have left here: their ids mean other records."""
        note = self.path / "database"
        if note.exists() and note.read_text().strip() != database_id:
            _log.warning("snapshots_thrown_away", reason="the folder was used with another database")
            shutil.rmtree(self.path / "collections", ignore_errors=True)
        note.write_text(database_id + "\n")


def check_folder(path: Path, database_id: str) -> None:
    """Refuse a folder in which no server of this database has been: uploads and encoders lie in another.

    Raises:
        StartupError: It is another's, or nobody's.
    """
    note = path / "database"
    if not note.exists() or note.read_text().strip() != database_id:
        raise StartupError(
            f"{path} is not the data folder of this database's servers: give theirs by --data, and start a server first"
        )


def make_folder(path: Path) -> None:
    """Make the folder where it is missing.

    Raises:
        StartupError: It cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"{path} cannot be used as data folder: {error.strerror}; give another --data") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StartupError(f"{path} cannot be written: change its rights, or give another --data folder")
