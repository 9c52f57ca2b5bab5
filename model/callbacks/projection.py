"""Puts constrained weights back after each step."""

from collections.abc import Callable

from model.callbacks.interface import Callback, TrainingRun


class WeightProjection(Callback):
    """Runs after every real step, before weights are averaged.

    Args:
        project: Puts the weights back.
    """

    def __init__(self, project: Callable[[], None]) -> None:
        self._project = project

    def on_step_end(self, run: TrainingRun) -> None:
        """Project."""
        self._project()
