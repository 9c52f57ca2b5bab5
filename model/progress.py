"""Progress of a run: a live line on a terminal, plain lines elsewhere, and metrics.jsonl for machines."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_EVERY_S = 5.0


def say(line: str) -> None:
    """Print a line to the user, where no bar stands in the way."""
    print(line, file=sys.stderr, flush=True)


class ProgressReporter:
    """Shows loss, sentences a second, time left and the watched metric.

    Args:
        metrics_file: Where each epoch is appended as one JSON object.
        total_steps: Steps of the whole run.
        step: Steps done already, of a resumed run.
    """

    def __init__(self, metrics_file: Path, total_steps: int, step: int = 0) -> None:
        self._metrics_file = metrics_file
        self._total_steps = total_steps
        self._started = time.monotonic()
        self._first_step = step
        self._sentences = 0
        self._last_line = self._started
        self._watched = ""
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("training", total=total_steps, completed=step, note="")
            self._bar.start()

    def step(self, step: int, epoch: int, loss: float, n_sentences: int) -> None:
        """One batch is done."""
        self._sentences += n_sentences
        now = time.monotonic()
        note = (
            f"epoch {epoch} loss {loss:.4f} {self._sentences / (now - self._started):,.0f} sentences/s {self._watched}"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=step, note=note)
        elif now - self._last_line >= _PLAIN_EVERY_S:
            self._last_line = now
            left_s = (now - self._started) / max(1, step - self._first_step) * (self._total_steps - step)
            self.say(f"step {step}/{self._total_steps} {note} ETA {left_s:.0f} s")

    def epoch(self, values: Mapping[str, float]) -> None:
        """An epoch is done: its number, step and loss, and the watched metric where rows are held out."""
        watched = [name for name in values if name not in ("epoch", "step", "loss")]
        self._watched = " ".join(f"{name} {values[name]:.4f}" for name in watched)
        with self._metrics_file.open("a") as file:
            file.write(json.dumps(values) + "\n")
        self.say(f"epoch {values['epoch']}: loss {values['loss']:.4f} {self._watched}".rstrip())

    def say(self, line: str) -> None:
        """Print a line beside the bar."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False)
        else:
            say(line)

    def close(self) -> None:
        """Take the bar down."""
        if self._bar is not None:
            self._bar.stop()
