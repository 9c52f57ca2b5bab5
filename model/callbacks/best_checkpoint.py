"""Keeps the weights of the epoch that is best on the monitored metric."""

from model.callbacks.interface import Callback, TrainingRun
from model.checkpoint import save_weights

BEST_FILE = "best.safetensors"


class BestCheckpoint(Callback):
    """Of equal epochs the later one is kept; where nothing is held out, the last."""

    def on_evaluated(self, run: TrainingRun) -> None:
        """Save the weights, averaged ones if there are, unless an earlier epoch was better."""
        position = run.state.position
        value = run.metrics.get(run.monitor, 0.0)
        best = position.best_metric
        if best is not None and (value > best if run.falls else value < best):
            return
        position.best_metric, position.best_epoch = value, position.epoch + 1
        if run.is_main:
            save_weights(run.folder / BEST_FILE, run.state.modules)
