"""Tells the user and metrics.jsonl where a run stands."""

import json
import time

from model.callbacks.interface import Callback, TrainingRun
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
            kept = [
                line for line in path.read_text().splitlines() if json.loads(line)["epoch"] <= run.state.position.epoch
            ]
            path.write_text("".join(f"{line}\n" for line in kept))

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
