"""How a run talks: a live line on a terminal, plain lines elsewhere, JSON for programs."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from model.config import ProgressForm
from model.contract.terminal import harmless

_PLAIN_EVERY_S = 5.0


def say(line: str) -> None:
    """Print a line to the user, where no bar stands in the way."""
    print(harmless(line), file=sys.stderr, flush=True)


class Narrator(Protocol):
    """Tells the user where a run stands."""

    def begin(self, step: int) -> None:
        """The run begins, or goes on from its checkpoint of this step."""

    def batch(self, step: int, total_steps: int, note: Mapping[str, float]) -> None:
        """A batch is done; `note` has epoch, loss, sentences_per_s and the last metrics."""

    def epoch(self, values: Mapping[str, float]) -> None:
        """An epoch is done."""

    def close(self) -> None:
        """The run is over."""


class TerminalNarrator:
    """A bar that stays at the foot, and a line an epoch above it."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("training", total=None, note="")
        self._bar.start()

    def begin(self, step: int) -> None:
        self._bar.update(self._task, completed=step)

    def batch(self, step: int, total_steps: int, note: Mapping[str, float]) -> None:
        self._bar.update(self._task, completed=step, total=total_steps, note=_describe(note))

    def epoch(self, values: Mapping[str, float]) -> None:
        self._bar.console.print(_describe(values), highlight=False)

    def close(self) -> None:
        self._bar.stop()


class PlainNarrator:
    """A line every few seconds and one an epoch."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._began_at = 0

    def begin(self, step: int) -> None:
        self._began_at = step
        self._started = self._last = time.monotonic()  # what came before, reading the data, says nothing of the steps

    def batch(self, step: int, total_steps: int, note: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._last < _PLAIN_EVERY_S:
            return
        self._last = now
        left_s = (now - self._started) / max(1, step - self._began_at) * (total_steps - step)
        say(f"step {step}/{total_steps} {_describe(note)} ETA {left_s:.0f} s")

    def epoch(self, values: Mapping[str, float]) -> None:
        say(_describe(values))

    def close(self) -> None:
        """Nothing to take down."""


class JsonNarrator:
    """One JSON object a line: {"event": "begin" | "progress" | "epoch", ...}, at most one progress a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def begin(self, step: int) -> None:
        self._write({"event": "begin", "step": step})

    def batch(self, step: int, total_steps: int, note: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._last >= 1:
            self._last = now
            self._write({"event": "progress", "step": step, "total_steps": total_steps, **note})

    def epoch(self, values: Mapping[str, float]) -> None:
        self._write({"event": "epoch", **values})

    def close(self) -> None:
        """Nothing to take down."""

    def _write(self, event: Mapping[str, Any]) -> None:
        print(json.dumps(event), file=sys.stderr, flush=True)


def make_narrator(form: ProgressForm) -> Narrator:
    """The one for this form; auto takes the terminal where there is one."""
    if form is ProgressForm.JSON:
        return JsonNarrator()
    if form is ProgressForm.TERMINAL or (form is ProgressForm.AUTO and sys.stderr.isatty()):
        return TerminalNarrator()
    return PlainNarrator()


_QUIET = ("epoch", "step", "learning_rate", "label_ranking_loss", "label_ranking_average_precision", "ece")


def _describe(values: Mapping[str, float]) -> str:
    quiet = {*_QUIET, *(["loss_raw"] if values.get("loss_raw") == values.get("loss") else [])}
    shown = [f"{name} {_short(value)}" for name, value in values.items() if name not in quiet]
    return f"epoch {values['epoch']:.0f}: {' '.join(shown)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4f}"
