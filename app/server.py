"""The process around the app: the port it takes, uvicorn's settings, signals, and the line that says it is ready."""

import errno
import gc
import math
import signal
import socket
import sys
import threading
from typing import Final

import structlog
import uvicorn

from app import container as wiring
from app.errors import PortBusyError
from app.http.protocol import ProblemProtocol
from app.main import create_app
from app.memory import allow_open_files
from app.priority import SWITCH_S
from app.settings import Settings

_MOST_FILES: Final = 65_536
"""A release in memory has eight files open, those of its snapshot."""

_GARBAGE_AFTER: Final = 10_000
"""So many objects are made before the garbage collector looks through them, instead of Python's 700.

An import's are let go of without it, and its looks, of up to 37 ms in which nothing is answered, took 1.9 s of the
server's 68 for 400,000 rows; now 0.8.
"""

_log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Take the port and serve until SIGTERM or SIGINT.

    Raises:
        SamesayError: It cannot start; says why.
    """
    allow_open_files(_MOST_FILES)
    with listen(settings.host, settings.port) as listener:
        _run(settings, listener)


def listen(host: str, port: int) -> socket.socket:
    """Take the port.

    Raises:
        PortBusyError: Another process has it, or the host is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        is_of_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = "another --port (0 takes a free one)" if is_of_port else "an address of this machine as --host"
        raise PortBusyError(f"cannot listen on {host} port {port}: {error.strerror or error}; give {remedy}") from None
    return listener


def make_server(container: wiring.Container) -> uvicorn.Server:
    """uvicorn around the app of this container."""
    config = uvicorn.Config(
        create_app(container),
        http=ProblemProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(container.settings.drain_s),
    )
    server = uvicorn.Server(config)
    container.services.jobs.is_stopping = lambda: server.should_exit  # streams would hold up its end
    return server


def _run(settings: Settings, listener: socket.socket) -> None:
    sys.setswitchinterval(SWITCH_S)
    container = wiring.build(settings)
    server = make_server(container)
    # uvicorn drains on these and then raises them again for whoever was there before: this, so that we exit with 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    _, port = listener.getsockname()[:2]
    announcer = threading.Thread(
        target=_announce, args=(container, server, f"http://{_as_url_host(settings.host)}:{port}"), daemon=True
    )
    announcer.start()
    server.run(sockets=[listener])


def _announce(container: wiring.Container, server: uvicorn.Server, url: str) -> None:
    """Log what runs, and print the URL, once queries can be answered.

    What is in memory by then, most of it of the libraries, stays to the end: the garbage collector need not look
    through it again. Each time that took a tenth of a second, in which nothing was answered.
    """
    while not (server.started and container.serving.is_ready):
        if server.should_exit or container.serving.is_stopping:
            return
        threading.Event().wait(0.01)
    _log.info(
        "server_ready",
        providers=container.services.health.providers,
        index_device=container.settings.index_device.value,
        index_server=container.settings.index_server,
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER)
    print(f"samesay is ready at {url}  (API: {url}/docs)", flush=True)


def _as_url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
