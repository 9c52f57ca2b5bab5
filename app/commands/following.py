"""Waiting for a job with its progress shown."""

import sys
import time
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.commands.client import Client

UNFINISHED: Final = ("queued", "running", "cancelling")

_LOOK_S: Final = 0.2
_LINE_S: Final = 5.0


def follow(client: Client, key: str) -> dict[str, Any]:
    """Wait until a job is over: a bar on a terminal, a line now and then elsewhere.

    Returns:
        The job.
    """
    shown = _Bars() if sys.stderr.isatty() else _Lines()
    with shown:
        while True:
            job: dict[str, Any] = client.get(f"/v1/jobs/{key}")
            shown.show(job)
            if job["state"] not in UNFINISHED:
                return job
            time.sleep(_LOOK_S)


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
