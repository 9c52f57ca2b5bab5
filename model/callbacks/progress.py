"""Tells the user and metrics.jsonl where a run stands."""

import json
import time
from pathlib import Path
from typing import Any

from model.callbacks.interface import Callback, TrainingRun
from model.contract.files import whole_file
from model.progress import Narrator

METRICS_FILE = "metrics.jsonl"


class ProgressReporter(Callback):
    """Loss and sentences a second while an epoch runs, its mean scalars and metrics at the end.

    A mean over an epoch hides how it ended: while it runs the figures are those of the last batch.

    Args:
        narrator: How to say it.
    """

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._started = 0.0
        self._sentences = 0

    def on_train_begin(self, run: TrainingRun) -> None:
        """Start the clock, and forget epochs that a killed run had counted but not kept."""
        self._started = time.monotonic()
        self._narrator.begin(run.state.position.step)
        path = run.folder / METRICS_FILE
        if path.exists():
            kept = [values for values in read_epochs(path) if values["epoch"] <= run.state.position.epoch]
            with whole_file(path) as file:
                file.write("".join(f"{json.dumps(values)}\n" for values in kept).encode())

    def on_batch_end(self, run: TrainingRun) -> None:
        """Show the batch."""
        self._sentences += run.n_sentences
        note = {
            "epoch": run.state.position.epoch + 1,
            "loss": run.scalars["loss"],
            "sentences_per_s": self._sentences / max(1e-9, time.monotonic() - self._started),
        }
        watched = {run.monitor: run.metrics[run.monitor]} if run.monitor in run.metrics else {}
        self._narrator.batch(run.state.position.step, run.total_steps, note | watched)

    def on_evaluated(self, run: TrainingRun) -> None:
        """Show the epoch and append it to the run's file."""
        with (run.folder / METRICS_FILE).open("a") as file:
            file.write(json.dumps(run.metrics) + "\n")
        self._narrator.epoch(run.metrics)

    def on_train_end(self, run: TrainingRun) -> None:
        """Take the bar down."""
        self._narrator.close()


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """The objects of a metrics file, one an epoch; a line that a killed run left half written is passed over."""
    if not path.exists():
        return []
    by_epoch: dict[int, dict[str, Any]] = {}
    for line in path.read_text(errors="replace").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and isinstance(values.get("epoch"), int):
            by_epoch[values["epoch"]] = values  # a resumed run may repeat an epoch: the later line counts
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]
