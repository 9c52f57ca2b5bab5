"""One training run: from data to the best weights. The loop reads top to bottom."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.checkpoint import Position, RunState, load_checkpoint, load_weights, save_checkpoint, save_weights
from model.config import Config, TableStart
from model.contract.bundle import Head
from model.contract.text import TextContract, Tokens
from model.data import TrainingData
from model.encoder import SentenceEncoder
from model.errors import DivergedError
from model.features import FeatureTable
from model.held_out import HeldOut
from model.lexical_start import start_from_words
from model.objective import TrainingObjective, make_objective
from model.progress import ProgressReporter
from model.schedule import learning_rate
from model.vocabulary import build_contract

CHECKPOINT_FILE = "checkpoint.safetensors"
BEST_FILE = "best.safetensors"
METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome: the encoder and objective with the best checkpoint's weights."""

    contract: TextContract
    encoder: SentenceEncoder
    objective: TrainingObjective
    best_metric: float
    best_epoch: int


def train(data: TrainingData, seed: int, run: Path, *, resume: bool = False) -> Trained:
    """Train, keeping the checkpoint that is best on the watched metric.

    On the CPU a run that was killed and resumed ends with the same bits as one that was not.

    Args:
        data: What to learn, what to watch, and the settings.
        seed: Of weights, dropout and batches.
        run: Folder for checkpoint, best weights and metrics.
        resume: Go on from the checkpoint in `run`.

    Raises:
        DivergedError: The loss is NaN or infinite; the last checkpoint is kept.
    """
    config = data.config
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(seed)
    contract = build_contract([row.text for row in data.train], config)
    sentences = [contract.tokenise(row.text) for row in data.train]
    table = FeatureTable(sentences)
    valid_table = FeatureTable([contract.tokenise(row.text) for row in data.valid]) if data.valid else None
    encoder = _fresh_encoder(contract, sentences, config, seed)
    objective = make_objective(data, table, encoder.dim)
    held_out = HeldOut(data, has_head=objective.head() is not None)
    modules = nn.ModuleDict({"encoder": encoder, "objective": objective})
    optimiser = torch.optim.Adam(modules.parameters(), lr=config.learning_rate)
    state = RunState(modules, optimiser)
    settings = config.model_dump_json() + data.fingerprint + str(seed)
    if resume and (run / CHECKPOINT_FILE).exists():
        load_checkpoint(run / CHECKPOINT_FILE, state, settings)
    position = state.position
    if not state.plan:
        state.plan = objective.plan(_generator(seed, position.epoch), lambda: encode_all(encoder, table))
    total_steps = config.epochs * len(state.plan)
    progress = ProgressReporter(run / METRICS_FILE, total_steps, position.step)
    last_save = time.monotonic()

    while position.epoch < config.epochs:
        modules.train()
        while position.batch < len(state.plan):
            rows = state.plan[position.batch]
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(position.step, total_steps, config)
            loss = objective.loss(encoder(table.batch(rows)), rows)
            if not math.isfinite(loss.item()):
                progress.close()
                raise DivergedError(_divergence(loss.item(), position, rows))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if config.clip_norm:
                nn.utils.clip_grad_norm_(modules.parameters(), config.clip_norm)
            optimiser.step()
            position.batch += 1
            position.step += 1
            position.loss_sum += loss.item()
            progress.step(position.step, position.epoch + 1, loss.item(), len(rows))
            if time.monotonic() - last_save > config.checkpoint_every_s:
                save_checkpoint(run / CHECKPOINT_FILE, state, settings)
                last_save = time.monotonic()

        watched = _watch(held_out, valid_table, encoder, objective.head(), table)
        if position.best_metric is None or watched >= position.best_metric:
            save_weights(run / BEST_FILE, modules)
            position.best_metric, position.best_epoch = watched, position.epoch + 1
        epoch_loss = position.loss_sum / len(state.plan)
        values = {"epoch": position.epoch + 1, "step": position.step, "loss": epoch_loss}
        progress.epoch(values | ({held_out.watched: watched} if valid_table else {}))
        position.epoch, position.batch, position.loss_sum = position.epoch + 1, 0, 0.0
        if position.epoch < config.epochs:
            state.plan = objective.plan(_generator(seed, position.epoch), lambda: encode_all(encoder, table))
        save_checkpoint(run / CHECKPOINT_FILE, state, settings)
        last_save = time.monotonic()

    progress.close()
    load_weights(run / BEST_FILE, modules)
    modules.eval()
    return Trained(contract, encoder, objective, position.best_metric or 0.0, position.best_epoch)


def _watch(
    held_out: HeldOut, valid: FeatureTable | None, encoder: SentenceEncoder, head: Head | None, table: FeatureTable
) -> float:
    """The watched metric; with nothing to watch always 0, so that the last epoch is the best."""
    if valid is None:
        return 0.0
    return held_out.watch(encode_all(encoder, valid), head, lambda: encode_all(encoder, table))


def _fresh_encoder(contract: TextContract, sentences: Sequence[Tokens], config: Config, seed: int) -> SentenceEncoder:
    encoder = SentenceEncoder(contract.n_ids, config)
    if config.table_start is TableStart.LEXICAL and config.buckets:
        start_from_words(encoder, sentences, seed)
    return encoder


@torch.no_grad()
def encode_all(encoder: SentenceEncoder, table: FeatureTable, batch_size: int = 256) -> NDArray[np.float32]:
    """Embed every sentence of a table without dropout; (n, dim) float32."""
    was_training = encoder.training
    encoder.eval()
    embeddings = np.empty((len(table), encoder.dim), np.float32)
    order = np.argsort(table.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        embeddings[rows] = encoder(table.batch(rows)).numpy()
    encoder.train(was_training)
    return embeddings


def _divergence(loss: float, position: Position, rows: NDArray[np.int64]) -> str:
    return (
        f"the loss is {loss} at epoch {position.epoch + 1}, batch {position.batch} (rows {rows[:5].tolist()}...); "
        "the last checkpoint is kept: start again with a lower learning_rate"
    )


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng((seed, epoch))
