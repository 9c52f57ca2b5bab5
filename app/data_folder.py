"""The data folder: held by one server at a time, or by all those of one PostgreSQL database."""

import fcntl
import os
import shutil
import socket
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from app.data_layout import collections_folder, lock_file, owner_note
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
        self._lock = lock_file(path)
        self._descriptor: int | None = None
        self._before = ""
        """Who came before us: told where we may not stay."""

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            DataFolderBusyError: Another server has it; names its process.
            StartupError: It cannot be written.
        """
        make_folder(self.path)
        self._descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        self._before = os.read(self._descriptor, 200).decode(errors="replace").strip()
        try:
            self._lock_as(self._kind)
        except DataFolderBusyError:
            self.__exit__(None, None, None)
            raise
        self._note(f"pid {os.getpid()} on {socket.gethostname()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def belong_to(self, database_id: str) -> None:
        """Throw away snapshots that another database's collections have left here: their ids mean other records.

        Raises:
            DataFolderBusyError: A server of that database has the folder too.
        """
        note = owner_note(self.path)
        before = note.read_text().strip() if note.exists() else database_id
        if before != database_id:
            self._throw_away()
        if before != database_id or not note.exists():
            made = note.with_name(f"{note.name}.{uuid.uuid4().hex}")  # others read the note meanwhile
            made.write_text(database_id + "\n")
            made.replace(note)
        self._lock_as(self._kind)

    def _throw_away(self) -> None:
        try:
            self._lock_as(fcntl.LOCK_EX)
        except DataFolderBusyError:
            self._note(self._before)
            raise
        _log.warning("snapshots_thrown_away", reason="the folder was used with another database")
        shutil.rmtree(collections_folder(self.path), ignore_errors=True)

    def _lock_as(self, kind: int) -> None:
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderBusyError(
                f"{self.path} is held by another server ({self._before or 'an unknown process'}): "
                "stop it, or give another --data folder"
            ) from None

    def _note(self, holder: str) -> None:
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{holder}\n".encode(), 0)


def check_folder(path: Path, database_id: str) -> None:
    """Refuse a folder in which no server of this database has been: uploads and encoders lie in another.

    Raises:
        StartupError: It is another's, or nobody's.
    """
    note = owner_note(path)
    if not note.exists() or note.read_text().strip() != database_id:
        raise StartupError(
            f"{path} is not the data folder of this database's servers: give theirs by --data, and start a server first"
        )


def make_folder(path: Path) -> None:
    """Make the folder where it is missing, for this user alone: every sentence will be in it.

    Raises:
        StartupError: It cannot be made or written.
    """
    try:
        path.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"{path} cannot be used as data folder: {error.strerror}; give another --data") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StartupError(f"{path} cannot be written: change its rights, or give another --data folder")
