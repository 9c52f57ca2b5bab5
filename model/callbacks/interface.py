"""The hooks of a run. Write your own by deriving from Callback; docs/methods.md has an example."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torch import Tensor

from model.checkpoint import RunState
from model.config import Config
from model.encoder import SentenceEncoder
from model.objectives.base import TrainingObjective


@dataclass(slots=True)
class TrainingRun:
    """A run as its callbacks see it.

    Attributes:
        config: The settings.
        folder: The run folder.
        encoder, objective: What is trained.
        state: Position, optimisers and plan.
        is_main: Whether this process writes files and talks; of one process always.
        scalars: Figures of the last batch by name; `loss` is always there.
        n_sentences: Sentences in the last batch.
        metrics: Figures of the last epoch by name: its number, means of the scalars, metrics of the held-out rows.
        monitor: Name of the metric that chooses the checkpoint; empty where nothing is held out.
        n_measured: Held-out sentences that it is measured on.
    """

    config: Config
    folder: Path
    encoder: SentenceEncoder
    objective: TrainingObjective
    state: RunState
    is_main: bool
    scalars: dict[str, float] = field(default_factory=dict)
    n_sentences: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    monitor: str = ""
    n_measured: int = 0

    @property
    def stop(self) -> bool:
        """Set it, and the run ends after this epoch, for good: one that is resumed has ended."""
        return self.state.position.stop

    @stop.setter
    def stop(self, value: bool) -> None:
        self.state.position.stop = value

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.state.position.total_steps

    @property
    def falls(self) -> bool:
        """Whether a smaller monitor is a better one."""
        return self.monitor.endswith("loss") or self.monitor == "ece"


MOMENTS: Final = (
    "on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_step_end", "on_evaluated",
    "on_epoch_end", "on_train_end",
)  # fmt: skip
"""The hooks of a Callback."""


class Callback:
    """Does nothing at each moment; override those that matter. Several are called in the order they were given."""

    def on_train_begin(self, run: TrainingRun) -> None:
        """Before the first batch of this sitting: a resumed run begins again."""

    def on_epoch_begin(self, run: TrainingRun) -> None:
        """Before the first batch of an epoch, or the next one of a resumed epoch."""

    def on_batch_begin(self, run: TrainingRun) -> None:
        """Before a batch is encoded."""

    def on_batch_end(self, run: TrainingRun) -> None:
        """After a batch, whether or not the weights changed."""

    def on_step_end(self, run: TrainingRun) -> None:
        """After the weights changed, and before they are averaged."""

    def on_evaluated(self, run: TrainingRun) -> None:
        """After the held-out rows were measured; averaged weights, if any, are still in place."""

    def on_epoch_end(self, run: TrainingRun) -> None:
        """After an epoch; the position is at the next one."""

    def on_train_end(self, run: TrainingRun) -> None:
        """After the last epoch, or when the run fails or is stopped."""

    def state_dict(self) -> dict[str, Tensor]:
        """What a resumed run needs back."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
