"""A whole service on a real socket, inside the test's own process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app import container as wiring
from app.server import listen, make_server
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Running:
    """A running service and a client of it."""

    url: str
    client: httpx.Client
    container: wiring.Container


def make_settings(data: Path, **options: Any) -> Settings:
    """Settings for a test: a free port, and no long waits."""
    return Settings(**{"data": data, "port": 0, "poll_s": 0.05, "wait_visible_s": 20.0, **options})


@contextmanager
def running(settings: Settings, *, until_ready: bool = True, **client_options: Any) -> Iterator[Running]:
    """Run a service until the block ends, then stop it as SIGTERM would."""
    listener = listen(settings.host, settings.port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    container = wiring.build(settings)
    server = make_server(container)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_for(lambda: server.started and (container.serving.is_ready or not until_ready))
        with httpx.Client(base_url=url, timeout=30, **client_options) as client:
            yield Running(url, client, container)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def wait_for(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        time.sleep(0.01)
