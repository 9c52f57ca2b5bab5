"""`samesay serve`: run the service until it is told to stop."""

import signal
import socket
import threading
from typing import Annotated

import typer
import uvicorn

from app import container as wiring
from app.commands.shared import DataOption, load_settings, plain_errors
from app.errors import PortBusyError
from app.main import create_app
from app.observability import configure_logging
from app.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address. [env: SAMESAY_HOST; default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port, 0 for a free one. [env: SAMESAY_PORT; default: 8765]")] = None,
    data: DataOption = None,
) -> None:
    """Serve searches over HTTP; prints the URL when ready. SIGTERM finishes what is running and exits."""
    with plain_errors():
        settings = load_settings(host=host, port=port, data=data)
        settings.refuse_open_bind()
        configure_logging(settings.log_level)
        listener = listen(settings.host, settings.port)
        with listener:
            run(settings, listener)


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
        raise PortBusyError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --port (0 takes a free one)"
        ) from None
    return listener


def run(settings: Settings, listener: socket.socket) -> None:
    """Serve on a socket until SIGTERM or SIGINT."""
    container = wiring.build(settings)
    config = uvicorn.Config(
        create_app(container),
        access_log=False,
        log_config=None,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    server = uvicorn.Server(config)
    # uvicorn drains on these and then raises them again for whoever was there before: nobody, so that we exit with 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    _, port = listener.getsockname()[:2]
    announcer = threading.Thread(
        target=_announce, args=(container, server, f"http://{_as_url_host(settings.host)}:{port}"), daemon=True
    )
    announcer.start()
    server.run(sockets=[listener])


def _announce(container: wiring.Container, server: uvicorn.Server, url: str) -> None:
    """Print the URL once queries can be answered."""
    while not (server.started and container.serving.is_ready):
        if server.should_exit or container.serving.is_stopping:
            return
        threading.Event().wait(0.01)
    print(f"samesay is ready at {url}  (API: {url}/docs)", flush=True)


def _as_url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
