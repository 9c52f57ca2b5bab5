"""Keeps the weights of the epoch that the held-out rows speak for."""

from model.callbacks.interface import Callback, TrainingRun
from model.checkpoint import save_weights
from model.evaluation.metrics import standard_error

BEST_FILE = "best.safetensors"


class BestCheckpoint(Callback):
    """Keeps the latest epoch within a standard error of the best one; where nothing is held out, the last.

    The learning rate falls, so a later epoch is the better one unless the held-out rows say otherwise, and what a few
    of them say by less than their own error they do not say (docs/log.md).

    Source: Breiman et al. 1984, "Classification and Regression Trees", the rule of one standard error.
    """

    def on_evaluated(self, run: TrainingRun) -> None:
        """Save the weights, averaged ones if there are, unless an earlier epoch was clearly better."""
        position = run.state.position
        value = run.metrics.get(run.monitor, 0.0)
        sign = -1 if run.falls else 1
        if position.best_metric is None or sign * value >= sign * position.best_metric:
            position.best_metric, position.best_epoch = value, position.epoch + 1
        if sign * value < sign * position.best_metric - _error(run, position.best_metric):
            return
        position.kept_epoch = position.epoch + 1
        if run.is_main:
            save_weights(run.folder / BEST_FILE, run.state.modules)


def _error(run: TrainingRun, value: float) -> float:
    """Of the watched metric; 0 for losses, which are no means of values in [0, 1], and where nothing is held out."""
    return 0.0 if run.falls or not run.n_measured else standard_error(value, run.n_measured)
