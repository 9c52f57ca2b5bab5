"""Telling other servers on the same PostgreSQL database that something was committed; polling stands behind it."""

import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from app.background import Background

_CHANNEL: Final = "samesay_changes"

_GATHER_S: Final = 0.01
"""So long commits are gathered before they are announced: PostgreSQL lets one transaction announce at a time."""

_AWAY_S: Final = 1.0
_LOOK_S: Final = 0.5

_log = structlog.get_logger(__name__)


class Announcer(Background):
    """Announces commits, some time after them and together: none of them waits for it.

    Args:
        engine: Of the database.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__("db-announce")
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._is_any_unsaid = False
        self._wake = threading.Event()
        self.start()

    def announce(self) -> None:
        """Say that something was committed."""
        self._is_any_unsaid = True
        self._wake.set()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._wake.set()
        super().stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._stopping.wait(_GATHER_S)
            self._wake.clear()
            if not self._is_any_unsaid:
                continue  # woken to end, or said with the ones before
            self._is_any_unsaid = False  # first: whatever is committed from now on is announced once more
            try:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql(f"NOTIFY {_CHANNEL}")
            except Exception as error:  # whoever listens looks by himself now and then
                _log.warning("announcement_failed", error=repr(error))
                self._stopping.wait(_AWAY_S)


class Listener(Background):
    """Hears what any server announces.

    Args:
        engine: Of the database; one connection beside its pool is opened.
        heard: Called for announcements, on a thread of the listener's.
    """

    def __init__(self, engine: Engine, heard: Callable[[], None]) -> None:
        super().__init__("db-listen")
        self._engine, self._heard = engine, heard
        self.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception as error:  # the database may be away for a while
                _log.warning("listening_failed", error=repr(error), exc_info=not self._is_away(error))
                self._stopping.wait(_AWAY_S)

    def _is_away(self, error: Exception) -> bool:
        """Whether it says that there is no connection: SQLAlchemy while it makes one, the driver from then on."""
        return isinstance(error, (OperationalError, self._engine.dialect.loaded_dbapi.OperationalError))

    def _listen(self) -> None:
        connection = self._engine.raw_connection()
        driver: Any = connection.driver_connection
        connection.detach()  # it listens now, and is no use to others
        try:
            driver.autocommit = True
            driver.execute(f"LISTEN {_CHANNEL}")
            self._heard()  # what was announced before we listened
            while not self._stopping.is_set():
                for _ in driver.notifies(timeout=_LOOK_S, stop_after=1):
                    self._heard()
        finally:
            driver.close()
