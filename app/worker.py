"""The worker process: `samesay worker` apart, or a child of the server. Runs what takes minutes."""

import gc
import os
import signal
import sys
import threading
import time
from contextlib import closing
from secrets import token_hex
from typing import Final

import structlog

from app.data_folder import check_folder
from app.db import migrating, opening
from app.errors import ServiceError
from app.job.kinds import Kind
from app.job.names import worker_name
from app.job.worker import Worker
from app.priority import SWITCH_S
from app.secrets_table import DATABASE_ID, get_secret
from app.serving.index_server import require_client
from app.settings import Settings
from app.worker_duties import duties_of
from model.contract.tied import end_with_parent

_LOOK_S: Final = 0.5
_AWAY_S: Final = 1.0
_RELEASE_S: Final = 3.0
_IDLE_S: Final = 10.0
"""A server's worker without work ends after so long: it takes memory that searches can use."""

_log = structlog.get_logger(__name__)


def work(settings: Settings, *, embedded: bool, only: Kind | None = None) -> None:
    """Run jobs until SIGTERM.

    Args:
        settings: As the server's.
        embedded: A server started us: end with it, and when there is nothing to do.
        only: Run jobs of this kind only.

    Raises:
        StartupError: The database cannot be used, or the client of the index server is not installed.
    """
    require_client(settings)
    with closing(opening.connect_database(settings)) as database:
        migrating.check(database.engine)
        check_folder(settings.data, get_secret(database, DATABASE_ID).hex())
        name = worker_name(os.getpid(), token_hex(4))
        worker = Worker(database, duties_of(settings, only), name, settings.jobs, give_up=lambda: os._exit(1))
        leaving = threading.Event()
        threading.Thread(target=_leave, args=(leaving, worker), daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: leaving.set())
        if embedded:
            end_with_parent()
        else:
            print(f"samesay worker {name} is ready", flush=True)
        sys.setswitchinterval(SWITCH_S)  # one thread parses while another stores
        gc.collect()
        gc.freeze()  # the libraries stay: looking through them again and again took a fifth of an import
        _loop(worker, idle_s=_IDLE_S if embedded else None)


def _loop(worker: Worker, idle_s: float | None) -> None:
    busy_at = time.monotonic()
    while idle_s is None or time.monotonic() - busy_at < idle_s:
        try:
            if worker.run_next():
                busy_at = time.monotonic()
            else:
                time.sleep(_LOOK_S)
        except ServiceError as error:
            _log.warning("database_away", reason=error.detail)
            time.sleep(_AWAY_S)


def _leave(leaving: threading.Event, worker: Worker) -> None:
    """End when told to, and let another worker take over at once: every step that is stored is stored whole."""
    leaving.wait()
    try:
        worker.let_go(_RELEASE_S)
    finally:
        os._exit(0)  # without it the lease runs out by itself
