"""A real server process for a measurement: pinned to one CPU, on a free port, in a folder of its own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]

SERVER_CPU, CLIENT_CPU = 0, 1


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: psutil.Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """CPU that it has used so far, in all its threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def pin(cpu: int | None) -> None:
    """Keep this process on one CPU, where the system can."""
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


@contextmanager
def samesay_server(data: Path, *, cpu: int | None) -> Iterator[Server]:
    """`samesay serve` on this folder."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--data", str(data)]
    with _started(command, cpu, re.compile(r"ready at http://127\.0\.0\.1:(\d+)")) as server:
        yield server


@contextmanager
def bare_server(*, cpu: int | None) -> Iterator[Server]:
    """FastAPI with one route that returns bytes."""
    command = [sys.executable, "-m", "benchmarks.bare_server"]
    with _started(command, cpu, re.compile(r"port (\d+)")) as server:
        yield server


@contextmanager
def _started(command: list[str], cpu: int | None, ready: re.Pattern[str]) -> Iterator[Server]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: pin(cpu),
        env={**os.environ, "SAMESAY_LOG_LEVEL": "WARNING"},
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := ready.search(line):
                yield Server(psutil.Process(process.pid), int(found[1]))
                break
    finally:
        process.terminate()
        process.wait(60)


def add_encoder(bundle: Path, data: Path) -> None:
    """Register a bundle as `bench`."""
    command = [sys.executable, "-m", "app", "encoders", "add", str(bundle), "--name", "bench", "--data", str(data)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def wait_until_compacted(url: str, collection: str, *, timeout_s: float = 300) -> None:
    """Wait until the index is one piece, as it is most of its life."""
    deadline = time.monotonic() + timeout_s
    wanted = f'samesay_index_delta_vectors{{collection="{collection}"}} 0.0'
    while wanted not in httpx.get(f"{url}/metrics").text:
        if time.monotonic() > deadline:
            raise TimeoutError("the index was not compacted")
        time.sleep(0.2)
