"""A real server process for a measurement: pinned to one CPU, on a free port, in a folder of its own."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
import psutil  # type: ignore[import-untyped]

SERVER_CPU, CLIENT_CPU = 0, 1

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, with the processes that it has started."""

    process: psutil.Process
    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def cpu_s(self) -> float:
        """CPU that it has used so far, in all its threads, in its children and in those that have ended."""
        return self._sum(lambda process: sum(process.cpu_times()[:4]))

    def memory_mb(self) -> float:
        """Memory in MB (10^6 bytes), mapped files included; what its processes share counts once."""
        return self._sum(lambda process: process.memory_full_info().pss / 1e6)

    def anonymous_mb(self) -> float:
        """Memory in MB that is no file's and nobody else's."""
        return self._sum(lambda process: (process.memory_info().rss - process.memory_info().shared) / 1e6)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(60)

    def _sum(self, read: Callable[[psutil.Process], float]) -> float:
        total = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # it ended this moment
                total += read(process)
        return total


def pin(cpu: int | None) -> None:
    """Keep this process on one CPU, where the system can."""
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def samesay_server(data: Path, *, cpu: int | None, **settings: str) -> Iterator[Server]:
    """`samesay serve` on this folder, with more settings by their environment variables."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--data", str(data)]
    with _started(command, cpu, re.compile(r"ready at http://127\.0\.0\.1:(\d+)"), settings) as server:
        yield server


@contextmanager
def bare_server(*, cpu: int | None) -> Iterator[Server]:
    """FastAPI with one route that returns bytes."""
    command = [sys.executable, "-m", "benchmarks.bare_server"]
    with _started(command, cpu, re.compile(r"port (\d+)")) as server:
        yield server


@contextmanager
def _started(
    command: list[str], cpu: int | None, ready: re.Pattern[str], settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Server]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: pin(cpu),
        env={**os.environ, "SAMESAY_LOG_LEVEL": "WARNING", **settings},
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


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def foreign_server(
    command: Sequence[str],
    port: int,
    *,
    log: Path,
    cpu: int | None,
    is_ready: Callable[[int], bool] = listens,
    env: Mapping[str, str] | None = None,
    user: int | None = None,
) -> Iterator[Server]:
    """A server that is not ours.

    Args:
        command: Starts it in the foreground.
        port: Where it will listen.
        log: File that takes what it prints.
        cpu: See `pin`.
        is_ready: Whether the server at this port answers.
        env: Environment variables besides those of this process.
        user: Runs it as this user and group.

    Raises:
        RuntimeError: It ended, or did not answer within a minute; with what it printed.
    """
    with log.open("wb") as printed:
        process = subprocess.Popen(
            command,
            stdout=printed,
            stderr=printed,
            preexec_fn=lambda: pin(cpu),
            env={**os.environ, **(env or {})},
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    try:
        _wait_until_ready(process, port, is_ready, log)
        yield Server(psutil.Process(process.pid), port)
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_ready(
    process: "subprocess.Popen[bytes]", port: int, is_ready: Callable[[int], bool], log: Path, timeout_s: float = 60
) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not answer: {log.read_text()[-2000:]}")
        time.sleep(0.01)


def wait_until_idle(server: Server, *, window_s: float = 5.0, timeout_s: float = 1800) -> float:
    """Wait until the server has done nothing for a while: all that it had to build is built.

    Args:
        server: Any.
        window_s: How long it must use less than a tenth of a CPU; longer than it may rest before it builds.
        timeout_s: When to give up.

    Returns:
        Seconds that it worked on.

    Raises:
        TimeoutError: It never rested.
    """
    started = busy_at = time.monotonic()
    used = server.cpu_s()
    while time.monotonic() - busy_at < window_s:
        if time.monotonic() - started > timeout_s:
            raise TimeoutError(f"the server is still busy after {timeout_s} s")
        time.sleep(window_s / 10)
        before, used = used, server.cpu_s()
        if used - before > window_s / 10 / 10:
            busy_at = time.monotonic()
    return busy_at - started


def add_encoder(bundle: Path, data: Path) -> None:
    """Register a bundle as `bench`."""
    command = [sys.executable, "-m", "app", "encoders", "add", str(bundle), "--name", "bench", "--data", str(data)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def compact(url: str, collection: str, *, timeout_s: float = 300) -> None:
    """Have the index made one piece, as it is most of its life, and wait for it."""
    deadline = time.monotonic() + timeout_s
    wanted = f'samesay_index_delta_vectors{{collection="{collection}"}} 0.0'
    while wanted not in httpx.get(f"{url}/metrics").text:
        if time.monotonic() > deadline:
            raise TimeoutError("the index was not compacted")
        httpx.post(f"{url}/v1/collections/{collection}:compact").raise_for_status()
        time.sleep(1.0)
