"""From a loss to changed weights: parameter groups, accumulation, mixed precision, clipping, the step."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from model.config import Config, Precision
from model.encoder import SentenceEncoder
from model.objectives.base import TrainingObjective
from model.training.distributed import World


class Optimisation:
    """Adam for dense weights, its row-sparse form for those of which a step touches a few rows.

    Args:
        encoder: Learns at learning_rate; weight decay is for its matrices, not for its tables.
        objective: Its head parameters learn at head_learning_rate.
        config: The settings.
        world: Whose gradients are summed.
        device: Where the weights lie.
    """

    def __init__(
        self, encoder: SentenceEncoder, objective: TrainingObjective, config: Config, world: World, device: torch.device
    ) -> None:
        self._config = config
        self._world = world
        self._encoder = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        sparse = {id(parameter) for parameter in objective.sparse_parameters()}
        self._objective = [parameter for parameter in objective.parameters() if id(parameter) not in sparse]
        head_rate = config.head_learning_rate or config.learning_rate
        self.optimisers: list[torch.optim.Optimizer] = [
            # fused: the plain form passes over the large tables many times, and takes up to eight times as long
            torch.optim.AdamW(
                _dense_groups(encoder, objective, self._objective, config, head_rate), weight_decay=0, fused=True
            )
        ]
        if sparse:
            group = {"params": objective.sparse_parameters(), "lr": head_rate, "peak": head_rate}
            self.optimisers.append(torch.optim.SparseAdam([group]))
        half = config.precision is Precision.FLOAT16
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)

    def state_dict(self) -> dict[str, Tensor]:
        """What half precision has learnt of the gradients' size; the optimisers' own state is kept apart."""
        return {name: torch.tensor(value) for name, value in self.scaler.state_dict().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        if state:
            self.scaler.load_state_dict({name: value.item() for name, value in state.items()})

    def set_learning_rate(self, factor: float) -> None:
        """Multiply the peak of every group by the schedule's factor."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor

    def backward(self, loss: Tensor) -> None:
        """Add a batch's share to the gradients of the step."""
        self.scaler.scale(loss / self._config.gradient_accumulation_steps).backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Change the weights by the gradients gathered since the last step."""
        self._world.sum_gradients(self._encoder)
        self._world.sum_gradients(self._objective, divisor=self._world.size)
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        if self._config.clip_norm:
            nn.utils.clip_grad_norm_([*self._encoder, *self._objective], self._config.clip_norm)
        for optimiser in self.optimisers:
            self.scaler.step(optimiser)
        self.scaler.update()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)


def _dense_groups(
    encoder: SentenceEncoder,
    objective: TrainingObjective,
    of_objective: Iterable[nn.Parameter],
    config: Config,
    head_rate: float,
) -> list[dict[str, object]]:
    tables = [*encoder.tokens.parameters(), *(encoder.grams.parameters() if encoder.grams else ())]
    is_table = {id(parameter) for parameter in tables}
    matrices = [parameter for parameter in encoder.parameters() if id(parameter) not in is_table]
    of_head = {id(parameter) for parameter in objective.head_parameters()}
    heads = [parameter for parameter in of_objective if id(parameter) in of_head]
    others = [parameter for parameter in of_objective if id(parameter) not in of_head]
    rate = config.learning_rate
    groups: list[dict[str, object]] = [
        {"params": tables, "lr": rate, "peak": rate},
        {"params": matrices, "lr": rate, "peak": rate, "weight_decay": config.weight_decay},
        {"params": heads, "lr": head_rate, "peak": head_rate},
        {"params": others, "lr": rate, "peak": rate},
    ]
    return [group for group in groups if group["params"]]
