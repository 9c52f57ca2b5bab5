"""Ends a run that gets no better."""

from model.callbacks.interface import Callback, TrainingRun


class EarlyStopping(Callback):
    """Stops when the best epoch lies `patience` epochs back.

    Args:
        patience: Epochs without a better monitor.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_epoch_end(self, run: TrainingRun) -> None:
        """Position already counts the epoch that ended."""
        if run.state.position.epoch - run.state.position.best_epoch >= self._patience:
            run.stop = True
