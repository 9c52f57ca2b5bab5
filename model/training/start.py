"""All that a run needs before its first batch: tables, encoder, objective, optimisers, callbacks, and its state."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.callbacks.average import WeightAverage
from model.callbacks.best_checkpoint import BestCheckpoint
from model.callbacks.early_stopping import EarlyStopping
from model.callbacks.interface import Callback, TrainingRun
from model.callbacks.projection import WeightProjection
from model.checkpoint import RunState, Stateful, load_checkpoint
from model.config import Config, ConstraintBy, ConstraintTarget, Device, Precision, TableStart, WeightConstraint
from model.constraints import constrain
from model.contract.text import TextContract
from model.data.batching import BatchPlan
from model.data.features import FeatureTable
from model.data.outliers import make_outliers
from model.data.training_data import TrainingData
from model.data.vocabulary import build_contract
from model.encoder import SentenceEncoder
from model.encoding import encode_all
from model.errors import ConfigError
from model.evaluation.held_out import HeldOut
from model.lexical_start import start_from_words
from model.objectives.base import TrainingObjective
from model.objectives.factory import make_objective
from model.training.distributed import World
from model.training.optimisation import Optimisation

CHECKPOINT_FILE = "checkpoint.safetensors"

_MOST_ANALYSED = 50_000
"""Training sentences that a lexical start looks at: its memory grows with them, its directions hardly change."""


@dataclass(slots=True, kw_only=True)
class Started:
    """A run that is ready for its next batch.

    Attributes:
        run: As its callbacks see it.
        contract: How text becomes features.
        table, valid_table: Features of all that is learnt from, the training rows first, and of the held-out rows.
        n_train: Training rows.
        held_out: Measures the held-out rows.
        optimisation: Changes the weights.
        average: Of the weights, if one is kept.
        callbacks: In the order in which they are called.
        device: Where the weights lie.
        world: The processes of the run.
        seed: Of batches and extra rows.
        settings: What a checkpoint must have been written under to be resumed.
    """

    run: TrainingRun
    contract: TextContract
    table: FeatureTable
    valid_table: FeatureTable | None
    n_train: int
    held_out: HeldOut
    optimisation: Optimisation
    average: WeightAverage | None
    callbacks: list[Callback]
    device: torch.device
    world: World
    seed: int
    settings: str

    def notify(self, moment: str) -> None:
        """Call this hook of every callback."""
        for callback in self.callbacks:
            getattr(callback, moment)(self.run)

    def plan_epoch(self, epoch: int) -> BatchPlan:
        """The batches of an epoch; the same whenever asked."""
        return self.run.objective.plan(np.random.default_rng((self.seed, epoch)), self.encode_training)

    def draws(self) -> np.random.Generator:
        """What the coming batch draws from: the same at every process, and after a resume."""
        position = self.run.state.position
        return np.random.default_rng((self.seed, position.epoch, position.batch, 0xE7))

    def encode_training(self) -> NDArray[np.float32]:
        """Embeddings of the training rows, without dropout."""
        return encode_all(self.run.encoder, self.table, self.n_train)

    def autocast(self) -> AbstractContextManager[object]:
        """Arithmetic of the encoder in the settings' precision."""
        precision = self.run.config.precision
        half = torch.bfloat16 if precision is Precision.BFLOAT16 else torch.float16
        return torch.autocast(self.device.type, half, enabled=precision is not Precision.FLOAT32)

    def averaged(self) -> AbstractContextManager[None]:
        """Inside the `with` block the weights are their average, if one is kept."""
        return self.average.applied(self.run.state.modules) if self.average is not None else nullcontext()


def start(
    data: TrainingData,
    seed: int,
    folder: Path,
    *,
    resume: bool,
    callbacks: Sequence[Callback],
    world: World,
) -> Started:
    """Make everything from the data and the seed, then put back the checkpoint if one is to be resumed."""
    config = data.config
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(seed)
    device = choose_device(config.device)
    texts = data.texts()
    contract = build_contract(texts, config)
    table = FeatureTable(contract.tokenise(text) for text in [*texts, *make_outliers(data, seed)])
    valid_table = FeatureTable(contract.tokenise(row.text) for row in data.valid) if data.valid else None
    encoder = _fresh_encoder(contract, data, seed)
    objective = make_objective(data, table, encoder.dim, seed, synthetic=np.arange(len(texts), len(table)))
    project = _constrain(encoder, objective, config)
    modules = nn.ModuleDict({"encoder": encoder, "objective": objective}).to(device)
    world.broadcast(modules.state_dict().values())
    torch.manual_seed(seed + 7919 * world.rank)  # every process drops other units
    optimisation = Optimisation(encoder, objective, config, world, device)
    average = _average(modules, objective, config.ema_decay)
    every = [*_own_callbacks(config, project, watches=bool(data.valid)), *callbacks]
    held_out = HeldOut(data, has_head=objective.head() is not None)
    state = RunState(modules, optimisation.optimisers, _stateful(every, optimisation, average))
    begun = Started(
        run=TrainingRun(
            config,
            folder,
            encoder,
            objective,
            state,
            world.is_main,
            monitor=held_out.monitor,
            n_measured=held_out.n_measured,
        ),
        contract=contract,
        table=table,
        valid_table=valid_table,
        n_train=len(data.train),
        held_out=held_out,
        optimisation=optimisation,
        average=average,
        callbacks=every,
        device=device,
        world=world,
        seed=seed,
        settings=f"{config.model_dump_json()}{data.fingerprint}{seed}x{world.size}",
    )
    if resume and (folder / CHECKPOINT_FILE).exists():
        load_checkpoint(folder / CHECKPOINT_FILE, state, begun.settings)
        torch.set_rng_state(state.generators[world.rank])
    if not state.plan:
        state.plan = begun.plan_epoch(0)
        per_epoch = -(-len(state.plan) // config.gradient_accumulation_steps)
        state.position.total_steps = config.epochs * per_epoch
    return begun


def choose_device(wanted: Device) -> torch.device:
    """The processor to train on.

    Raises:
        ConfigError: A GPU was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if wanted is Device.CUDA and not available:
        raise ConfigError("device=cuda, but PyTorch sees no GPU (torch.cuda.is_available() is False); set device=auto")
    if wanted is Device.CPU or not available:
        return torch.device("cpu")
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))  # number of this process on its machine, as torchrun gives it
    return torch.device("cuda", local_rank % torch.cuda.device_count())


def _fresh_encoder(contract: TextContract, data: TrainingData, seed: int) -> SentenceEncoder:
    encoder = SentenceEncoder(contract.n_ids, data.config)
    if data.config.table_start is TableStart.LEXICAL and data.config.buckets:
        rows = np.random.default_rng((seed, 0x15A)).permutation(len(data.train))[:_MOST_ANALYSED]
        start_from_words(encoder, [contract.tokenise(data.train[row].text) for row in np.sort(rows)], seed)
    return encoder


def _own_callbacks(config: Config, project: Callable[[], None], *, watches: bool) -> list[Callback]:
    """Those that the settings ask for; `watches` whether there are held-out rows to lose patience with."""
    return [
        *([WeightProjection(project)] if config.constraint_by is ConstraintBy.PROJECTION else []),
        BestCheckpoint(),
        *([EarlyStopping(config.patience)] if config.patience and watches else []),
    ]


def _stateful(
    callbacks: Sequence[Callback], optimisation: Optimisation, average: WeightAverage | None
) -> dict[str, Stateful]:
    """What a checkpoint keeps beside weights and optimisers."""
    named: dict[str, Stateful] = {f"callback{number}": callback for number, callback in enumerate(callbacks)}
    named["optimisation"] = optimisation
    return named if average is None else named | {"average": average}


def _average(modules: nn.Module, objective: TrainingObjective, decay: float) -> WeightAverage | None:
    """Beside dense weights: averaging runs over all of a matrix, and of a sparse one a step changes a few rows."""
    sparse = {id(parameter) for parameter in objective.sparse_parameters()}
    names = [name for name, parameter in modules.named_parameters() if id(parameter) in sparse]
    return WeightAverage(modules, decay, exclude=names) if decay else None


def _constrain(encoder: SentenceEncoder, objective: TrainingObjective, config: Config) -> Callable[[], None]:
    """Hold the head's or the bag's weights as set; returns what has to be called after each step."""
    of_head = config.constraint_target is ConstraintTarget.HEAD
    module = objective.constrainable() if of_head else encoder.bag
    if config.weight_constraint is WeightConstraint.NONE:
        return lambda: None
    if module is None:
        raise ConfigError(f"constraint_target=head, but objective {config.objective} has no weights to constrain")
    return constrain(module, "weight", config.weight_constraint, config.max_norm, config.constraint_by)
