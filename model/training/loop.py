"""One training run: from data to the best weights. The loop reads top to bottom."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.callbacks.best_checkpoint import BEST_FILE
from model.callbacks.interface import Callback
from model.checkpoint import Position, load_weights, save_checkpoint
from model.config.schedule import hyperparameters, learning_rate_factor
from model.constraints import remove
from model.contract.text import TextContract
from model.data.training_data import TrainingData
from model.encoder import SentenceEncoder
from model.encoding import encode_all
from model.errors import DivergedError
from model.objectives.base import EncodeRows, TrainingObjective
from model.training.distributed import World
from model.training.start import CHECKPOINT_FILE, Started, start


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome: the encoder and objective with the best checkpoint's weights.

    Attributes:
        contract: How its text becomes features.
        encoder, objective: On the CPU, in evaluation mode.
        monitor: Name of the metric that chose the epoch.
        best_metric, best_epoch: Its value, and the epoch from 1.
    """

    contract: TextContract
    encoder: SentenceEncoder
    objective: TrainingObjective
    monitor: str
    best_metric: float
    best_epoch: int


def train(
    data: TrainingData,
    seed: int,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    world: World | None = None,
) -> Trained:
    """Train, keeping the checkpoint that is best on the monitored metric.

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
    world = world or World()
    begun = start(data, seed, folder, resume=resume, callbacks=callbacks, world=world)
    run, config, position = begun.run, data.config, begun.run.state.position
    last_save = time.monotonic()
    try:
        begun.notify("on_train_begin")
        while position.epoch < config.epochs and not run.stop:
            begun.modules.train()
            begun.notify("on_epoch_begin")
            while position.batch < len(run.state.plan):
                begun.notify("on_batch_begin")
                rows = run.state.plan[position.batch]
                begun.optimisation.set_learning_rate(learning_rate_factor(position.step, run.total_steps, config))
                hyper = hyperparameters(position.step, run.total_steps, config)
                begun.encoder.embedding_noise_std = hyper["embedding_noise_std"]
                draws = np.random.default_rng((seed, position.epoch, position.batch, 0xE7))
                loss = begun.objective.loss(rows, _encoding(begun, world), hyper, draws)
                run.scalars = _scalars(loss.total, loss.scalars)
                _check_finite(run.scalars["loss"], position, rows)
                begun.optimisation.backward(loss.total)
                position.batch += 1
                run.n_sentences = len(rows)
                for name, value in run.scalars.items():
                    position.sums[name] = position.sums.get(name, 0.0) + value
                if position.batch % config.gradient_accumulation_steps == 0 or position.batch == len(run.state.plan):
                    begun.optimisation.step()
                    position.step += 1
                    begun.notify("on_step_end")
                    if begun.average is not None:
                        begun.average.update(begun.modules)
                    if time.monotonic() - last_save > config.checkpoint_every_s:
                        _save(begun, world)
                        last_save = time.monotonic()
                begun.notify("on_batch_end")

            with begun.average.applied(begun.modules) if begun.average is not None else nullcontext():
                run.metrics = world.agree(_measure(begun))
                begun.notify("on_evaluated")
            position.epoch, position.batch, position.sums = position.epoch + 1, 0, {}
            begun.notify("on_epoch_end")
            if position.epoch < config.epochs:
                run.state.plan = begun.plan_epoch(position.epoch)
            _save(begun, world)
            last_save = time.monotonic()
    finally:
        begun.notify("on_train_end")
    world.collect(torch.zeros(1))  # nobody reads the best weights before they are written
    load_weights(folder / BEST_FILE, begun.modules)
    remove(begun.modules)
    begun.modules.eval().cpu()
    best = position.best_metric or 0.0
    return Trained(begun.contract, begun.encoder, begun.objective, run.monitor, best, position.best_epoch)


def _encoding(begun: Started, world: World) -> EncodeRows:
    """The encoder over training rows: this process's share, and the other processes' shares beside it."""

    def encode(rows: NDArray[np.int64]) -> Tensor:
        sizes = world.share(len(rows))
        begins = sum(sizes[: world.rank])
        mine = rows[begins : begins + sizes[world.rank]]
        batch = begun.table.batch(mine if len(mine) else rows[:1]).to(begun.device)
        with begun.autocast():
            own: Tensor = begun.encoder(batch)
        return world.gather(own.float()[: len(mine)], sizes)

    return encode


def _scalars(total: Tensor, scalars: Mapping[str, Tensor]) -> dict[str, float]:
    values = torch.stack([total.detach().float(), *(value.float() for value in scalars.values())]).tolist()
    return dict(zip(["loss", *scalars], values, strict=True))


def _check_finite(loss: float, position: Position, rows: NDArray[np.int64]) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the loss is {loss} at epoch {position.epoch + 1}, batch {position.batch} "
            f"(rows {rows[:5].tolist()}...); the last checkpoint is kept: start again with a lower learning_rate"
        )


def _measure(begun: Started) -> dict[str, float]:
    """Means of the epoch's scalars, and the metrics of the held-out rows."""
    run, position = begun.run, begun.run.state.position
    means = {name: total / position.batch for name, total in position.sums.items()}
    metrics: Mapping[str, float] = {}
    if begun.valid_table is not None:
        head, label_head = begun.objective.head(), begun.objective.label_head()
        valid = encode_all(begun.encoder, begun.valid_table)
        metrics = begun.held_out.watch(valid, head, label_head, lambda: begun.encode_training())
    rate = run.state.optimisers[0].param_groups[0]["lr"]
    return {"epoch": position.epoch + 1, "step": position.step, "learning_rate": rate, **means, **metrics}


def _save(begun: Started, world: World) -> None:
    state = begun.run.state
    state.generators = world.collect(torch.get_rng_state())
    if world.is_main:
        save_checkpoint(begun.run.folder / CHECKPOINT_FILE, state, begun.settings)
