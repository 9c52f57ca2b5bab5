"""The resumable state of a run in one safetensors file: weights, optimiser, random generator, position."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from model.contract.files import whole_file
from model.data.batching import BatchPlan
from model.errors import RunFolderError


@dataclass(slots=True)
class Position:
    """Where a run stands; the next batch is `plan[batch]` of `epoch`.

    Attributes:
        epoch: From 0.
        batch: Batches of this epoch done.
        step: Optimiser steps of the run done.
        sums: Sum of each scalar over this epoch's batches.
        total_steps: Steps of the whole run, as planned at its start.
        best_metric: Of the watched metric so far, None before the first evaluation.
        best_epoch: Epoch of it, from 1.
        kept_epoch: Epoch whose weights are kept, from 1.
        stop: Whether a callback wants the run to end after this epoch.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    total_steps: int = 0
    best_metric: float | None = None
    best_epoch: int = 0
    kept_epoch: int = 0
    stop: bool = False

    def count_batch(self, scalars: Mapping[str, float]) -> None:
        """One more batch of this epoch is done."""
        self.batch += 1
        for name, value in scalars.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def next_epoch(self) -> None:
        """On to the first batch of the next epoch."""
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, {}


class Stateful(Protocol):
    """Something with tensors of its own to keep: an average of the weights, a callback."""

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


@dataclass(slots=True)
class RunState:
    """All that a run changes as it goes.

    Attributes:
        modules: Encoder and objective.
        optimisers: Theirs.
        others: What else has a state, by name.
        generators: State of each process's random generator, by rank.
        position: Where the run stands.
        plan: Batches of the running epoch.
    """

    modules: nn.Module
    optimisers: Sequence[torch.optim.Optimizer]
    others: Mapping[str, Stateful] = field(default_factory=dict)
    generators: Sequence[Tensor] = ()
    position: Position = field(default_factory=Position)
    plan: BatchPlan = field(default_factory=list)


def save_checkpoint(path: Path, state: RunState, settings: str) -> None:
    """Write the state so that the file is the old one or the new one, never half of one.

    Raises:
        RunFolderError: The disk is full or refuses; the file that was there is whole.
    """
    tensors = {f"module.{name}": tensor for name, tensor in state.modules.state_dict().items()}
    for number, optimiser in enumerate(state.optimisers):
        for index, slots in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{index}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    for name, other in state.others.items():
        tensors |= {f"other.{name}.{key}": tensor for key, tensor in other.state_dict().items()}
    tensors |= {f"generator.{rank}": generator for rank, generator in enumerate(state.generators)}
    if state.plan:
        tensors["plan.rows"] = torch.from_numpy(np.concatenate(state.plan))
        tensors["plan.sizes"] = torch.tensor([len(batch) for batch in state.plan])
    _save(path, tensors, {"position": json.dumps(asdict(state.position)), "settings": settings})


def load_checkpoint(path: Path, state: RunState, settings: str) -> None:
    """Put back what `save_checkpoint` wrote, into modules and optimisers made from the same settings.

    Raises:
        RunFolderError: Unreadable, written under other settings, or not by this version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); start again in a new run folder") from error
    if metadata.get("settings") != settings:
        raise RunFolderError(
            f"{path} was written under other settings, another seed, other data or another number of processes; "
            "give the same (config.json beside it has the settings), or a new run folder"
        )
    try:
        _put_back(state, tensors, json.loads(metadata["position"]))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason, _, _ = str(error).partition("\n")
        raise RunFolderError(
            f"{path} does not hold what this version of samesay writes ({type(error).__name__}: {reason}); "
            "start again in a new run folder"
        ) from error


def _put_back(state: RunState, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
    state.modules.load_state_dict(_under("module.", tensors))
    for number, optimiser in enumerate(state.optimisers):
        slots = _by_index(_under(f"optimiser.{number}.", tensors), optimiser)
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": slots, "param_groups": groups})
    for name, other in state.others.items():
        other.load_state_dict(_under(f"other.{name}.", tensors))
    generators = _under("generator.", tensors)
    state.generators = [generators[str(rank)] for rank in range(len(generators))]
    state.position = Position(**position)
    if "plan.rows" in tensors:
        cuts = np.cumsum(tensors["plan.sizes"].numpy())[:-1]
        state.plan = np.split(tensors["plan.rows"].numpy(), cuts)


def save_weights(path: Path, modules: nn.Module) -> None:
    """Write the weights alone, atomically."""
    _save(path, dict(modules.state_dict()), {})


def load_weights(path: Path, modules: nn.Module) -> None:
    """Read back what `save_weights` wrote."""
    with safe_open(path, framework="pt") as file:
        modules.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    try:
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be written: {error.strerror}; make room, then --resume goes on from the last checkpoint"
        ) from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _by_index(tensors: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    slots: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split(".")
        counts_in_python = slot == "step" and isinstance(optimiser, torch.optim.SparseAdam)
        slots.setdefault(int(index), {})[slot] = int(tensor) if counts_in_python else tensor
    return slots
