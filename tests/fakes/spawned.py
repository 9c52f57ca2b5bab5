"""A real `samesay serve` in a process of its own."""

import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import psutil


@dataclass(slots=True)
class Spawned:
    """A running server process."""

    process: "subprocess.Popen[str]"
    url: str
    stderr: list[str] = field(default_factory=list)

    @property
    def memory(self) -> "psutil.Process":
        return psutil.Process(self.process.pid)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)


def samesay(
    *arguments: str,
    timeout: float = 60,
    file_size_limit: tuple[int, int] | None = None,
    stdin: IO[bytes] | None = None,
    **environment: str,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    limited = file_size_limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, file_size_limit))
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
        preexec_fn=limited,
        stdin=stdin,
    )


def peak_bytes(*arguments: str, **environment: str) -> int:
    """Run a command that must succeed; the most memory it was seen to have, since rusage would tell our own.

    Raises:
        subprocess.CalledProcessError: It failed; says what it printed.
    """
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )
    peak = 0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
        time.sleep(0.005)
    said, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, said)
    return peak


def command(*arguments: str) -> list[str]:
    """The command line of `samesay` in this Python."""
    return [sys.executable, "-m", "app", *arguments]


@contextmanager
def spawned(data: Path, *arguments: str, cwd: Path | None = None, **environment: str) -> Iterator[Spawned]:
    """Start a server on a free port and wait until it says that it is ready."""
    process = subprocess.Popen(
        command("serve", "--port", "0", "--data", str(data), *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None and process.stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)  # type: ignore[arg-type]
    reader.start()
    try:
        line = process.stdout.readline()
        found = re.search(r"ready at (http://\S+)", line)
        if found is None:
            process.wait(10)
            reader.join(5)
            raise RuntimeError(f"the server did not start: {line}{''.join(lines)}")
        yield Spawned(process, found[1], lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        reader.join(5)
        process.stdout.close()
        process.stderr.close()
