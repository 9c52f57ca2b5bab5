"""Waiting for a job with its progress shown."""

import sys
import time
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.commands.client import Client, ClientError, PassingError, path_of

UNFINISHED: Final = ("queued", "running", "cancelling")

PATIENCE_S: Final = 60.0
"""A server that answered less long ago may be starting anew; samesay.Client is as patient."""

_LOOK_S: Final = 0.2
_LINE_S: Final = 5.0


def follow(client: Client, key: str) -> dict[str, Any]:
    """Wait until a job is over: a bar on a terminal, a line now and then elsewhere. A restart of the server is sat out.

    Returns:
        The job.

    Raises:
        ClientError: The server has not answered for PATIENCE_S, or knows no such job.
    """
    shown = _Bars() if sys.stderr.isatty() else _Lines()
    look = _Look(client, key, shown.say)
    with shown:
        while True:
            job = look()
            if job is not None:
                shown.show(job)
                if job["state"] not in UNFINISHED:
                    return job
            time.sleep(_LOOK_S)


class _Look:
    """Looks at a job again and again, and says when the server goes and when it is back."""

    def __init__(self, client: Client, key: str, say: Callable[[str], None]) -> None:
        self._client, self._key, self._say = client, key, say
        self._answered_at, self._is_away = time.monotonic(), False

    def __call__(self) -> dict[str, Any] | None:
        """The job; None while the server is away."""
        try:
            job: dict[str, Any] = self._client.get(path_of("jobs", self._key))
        except PassingError as error:
            self._wait(error)
            return None
        if self._is_away:
            self._say(f"the server at {self._client.url} answers again")
        self._answered_at, self._is_away = time.monotonic(), False
        return job

    def _wait(self, error: PassingError) -> None:
        url = self._client.url
        if time.monotonic() - self._answered_at > PATIENCE_S:
            raise ClientError(
                f"{error}. Job {self._key} is kept, and goes on when the server is back: "
                f"samesay jobs follow {self._key} --url {url}"
            )
        if not self._is_away:
            self._say(f"the server at {url} does not answer: waiting up to {PATIENCE_S:.0f} s for it to come back")
        self._is_away = True


class _Bars:
    """A bar for each stage."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, job: dict[str, Any]) -> None:
        """Bring the bars up to date."""
        progress = job["progress"]
        stage = progress["stage"]
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=progress["total"], speed="")
        speed = f"{progress['per_second']:,.0f} {progress['unit']}/s" if progress["per_second"] else ""
        speed = " ".join(filter(None, (speed, _noted(progress))))
        self._progress.update(self._tasks[stage], completed=progress["done"], total=progress["total"], speed=speed)


class _Lines:
    """A line for each stage, and one every few seconds."""

    def __init__(self) -> None:
        self._stage, self._told_at = "", 0.0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, line: str) -> None:
        """Write a line."""
        print(line, file=sys.stderr)

    def show(self, job: dict[str, Any]) -> None:
        """Write a line if one is due."""
        progress, now = job["progress"], time.monotonic()
        if progress["stage"] == self._stage and now - self._told_at < _LINE_S:
            return
        self._stage, self._told_at = progress["stage"], now
        of = "" if progress["total"] is None else f" of {progress['total']}"
        note = f", {_noted(progress)}" if progress["note"] else ""
        speed = f", {progress['per_second']:,.0f}/s" if progress["per_second"] else ""
        eta = f", {progress['eta_s']:.0f} s left" if progress["eta_s"] is not None else ""
        print(f"{progress['stage']}: {progress['done']}{of} {progress['unit']}{speed}{note}{eta}", file=sys.stderr)


def _noted(progress: dict[str, Any]) -> str:
    """More figures of a stage, such as a training's epoch and loss."""
    return " ".join(f"{name} {_short(value)}" for name, value in progress["note"].items())


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.4f}"
