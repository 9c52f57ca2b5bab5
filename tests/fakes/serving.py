"""A real server in a process of its own, on a free port."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """The process and where it answers."""

    process: subprocess.Popen[str]
    url: str


@contextmanager
def serve(data: Path, cwd: Path | None = None, **environment: str) -> Iterator[Served]:
    """`samesay serve` on a folder; SIGTERM at the end, which must exit with 0."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAMESAY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0", "--data", str(data)],
        cwd=cwd,
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(START_TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline() if process.stdout else ""
        watchdog.cancel()
        match = re.search(r"http://\S+", line)
        assert match, f"the server did not start: {line!r}"
        yield Served(process, match.group())
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        if process.stdout:
            process.stdout.close()
    assert code == 0
