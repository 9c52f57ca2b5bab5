"""One training run: from data to the best weights. The loop reads top to bottom."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.callbacks.best_checkpoint import BEST_FILE
from model.callbacks.interface import Callback
from model.checkpoint import load_weights, save_checkpoint
from model.config.schedule import hyperparameters, learning_rate_factor
from model.constraints import remove
from model.contract.text import TextContract
from model.data.training_data import TrainingData
from model.encoder import SentenceEncoder
from model.encoding import encode_all
from model.errors import DivergedError
from model.objectives.base import EncodeRows, StepLoss, TrainingObjective
from model.training.distributed import World
from model.training.start import CHECKPOINT_FILE, Started, start


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome: the encoder and objective with the weights of the epoch that was kept.

    Attributes:
        contract: How its text becomes features.
        encoder, objective: On the CPU, in evaluation mode.
        monitor: Name of the metric that chose the epoch.
        kept_epoch: That epoch, from 1.
    """

    contract: TextContract
    encoder: SentenceEncoder
    objective: TrainingObjective
    monitor: str
    kept_epoch: int


def train(
    data: TrainingData,
    seed: int,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    world: World | None = None,
) -> Trained:
    """Train, keeping the epoch that the monitored metric speaks for.

    On the CPU a run that was killed and resumed ends with the same bits as one that was not.

    Args:
        data: What to learn, what to watch, and the settings.
        seed: Of weights, dropout and batches.
        folder: For checkpoint, best weights and metrics.
        resume: Go on from the checkpoint in `folder`.
        callbacks: Further ones, called after those that the settings ask for.
        world: The processes of a distributed run.

    Raises:
        DivergedError: The loss is NaN or infinite; the last checkpoint is kept.
    """
    begun = start(data, seed, folder, resume=resume, callbacks=callbacks, world=world or World())
    run, config, position = begun.run, data.config, begun.run.state.position
    encode, checkpoints = _encoding(begun), _Checkpoints(begun)
    try:
        begun.notify("on_train_begin")
        while position.epoch < config.epochs and not run.stop:
            run.state.modules.train()
            begun.notify("on_epoch_begin")
            while position.batch < len(run.state.plan):
                begun.notify("on_batch_begin")
                begun.optimisation.set_learning_rate(learning_rate_factor(position.step, run.total_steps, config))
                hyper = hyperparameters(position.step, run.total_steps, config)
                run.encoder.embedding_noise_std = hyper["embedding_noise_std"]
                rows = run.state.plan[position.batch]
                loss = run.objective.loss(rows, encode, hyper, begun.draws())
                run.n_sentences, run.scalars = len(rows), _scalars(loss)
                _check_finite(begun, data, rows)
                begun.optimisation.backward(loss.total)
                position.count_batch(run.scalars)
                if position.batch % config.gradient_accumulation_steps == 0 or position.batch == len(run.state.plan):
                    begun.optimisation.step()
                    position.step += 1
                    begun.notify("on_step_end")
                    if begun.average is not None:
                        begun.average.update(run.state.modules)
                    checkpoints.save_if_due()
                begun.notify("on_batch_end")

            with begun.averaged():
                run.metrics = begun.world.agree(_measure(begun))
                begun.notify("on_evaluated")
            position.next_epoch()
            begun.notify("on_epoch_end")
            if position.epoch < config.epochs:
                run.state.plan = begun.plan_epoch(position.epoch)
            checkpoints.save()
    finally:
        begun.notify("on_train_end")
    begun.world.collect(torch.zeros(1))  # nobody reads the kept weights before they are written
    load_weights(folder / BEST_FILE, run.state.modules)
    remove(run.state.modules)
    run.state.modules.eval().cpu()
    return Trained(begun.contract, run.encoder, run.objective, run.monitor, position.kept_epoch)


def _encoding(begun: Started) -> EncodeRows:
    """The encoder over training rows: this process's share, and the other processes' shares beside it."""
    world = begun.world

    def encode(rows: NDArray[np.int64]) -> Tensor:
        sizes = world.share(len(rows))
        begins = sum(sizes[: world.rank])
        mine = rows[begins : begins + sizes[world.rank]]
        batch = begun.table.batch(mine if len(mine) else rows[:1]).to(begun.device)
        with begun.autocast():
            own: Tensor = begun.run.encoder(batch)
        return world.gather(own.float()[: len(mine)], sizes)

    return encode


def _scalars(loss: StepLoss) -> dict[str, float]:
    """The figures of a batch in one transfer from the device."""
    values = torch.stack([loss.total.detach().float(), *(value.float() for value in loss.scalars.values())]).tolist()
    return dict(zip(["loss", *loss.scalars], values, strict=True))


def _check_finite(begun: Started, data: TrainingData, rows: NDArray[np.int64]) -> None:
    loss, position = begun.run.scalars["loss"], begun.run.state.position
    if math.isfinite(loss):
        return
    lines = ", ".join(str(data.train[row].line) for row in rows[:5] if row < len(data.train))
    kept = "the last checkpoint is kept" if (begun.run.folder / CHECKPOINT_FILE).exists() else "no checkpoint yet"
    raise DivergedError(
        f"the loss is {loss} at epoch {position.epoch + 1}, batch {position.batch + 1} (of lines {lines} and others; "
        f"{kept}): start again with a lower learning_rate, in another --out"
    )


def _measure(begun: Started) -> dict[str, float]:
    """Means of the epoch's scalars, and the metrics of the held-out rows."""
    run, position = begun.run, begun.run.state.position
    means = {name: total / position.batch for name, total in position.sums.items()}
    metrics: Mapping[str, float] = {}
    if begun.valid_table is not None:
        head, label_head = run.objective.head(), run.objective.label_head()
        valid = encode_all(run.encoder, begun.valid_table)
        metrics = begun.held_out.watch(valid, head, label_head, begun.encode_training)
    rate = run.state.optimisers[0].param_groups[0]["lr"]
    return {"epoch": position.epoch + 1, "step": position.step, "learning_rate": rate, **means, **metrics}


class _Checkpoints:
    """Writes the run's state, and knows when it is time to write it again."""

    def __init__(self, begun: Started) -> None:
        self._begun = begun
        self._saved_at = time.monotonic()

    def save(self) -> None:
        """All processes have to come here together: each gives the state of its random generator."""
        run, world = self._begun.run, self._begun.world
        run.state.generators = world.collect(torch.get_rng_state())
        if world.is_main:
            save_checkpoint(run.folder / CHECKPOINT_FILE, run.state, self._begun.settings)
        self._saved_at = time.monotonic()

    def save_if_due(self) -> None:
        """By the clock of the main process: at another one it may be a moment earlier."""
        due = time.monotonic() - self._saved_at > self._begun.run.config.checkpoint_every_s
        if self._begun.world.agree(due):
            self.save()
