"""What the loop needs to know of an objective, and how its loss is put together."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.config import Config, FloodMode
from model.config.schedule import Hyperparameters
from model.contract.deciding.head import Head, LabelHead
from model.data.batching import BatchPlan
from model.losses.flooding import flood, flooded_share, instance_flood


class EncodeTraining(Protocol):
    """Embeds all training sentences with the encoder as it is now, without dropout."""

    def __call__(self) -> NDArray[np.float32]: ...


class EncodeRows(Protocol):
    """Embeds these rows for training: (n,) row numbers to (n, dim) unit vectors, with dropout and gradients."""

    def __call__(self, rows: NDArray[np.int64]) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class StepLoss:
    """The loss of one batch.

    Attributes:
        total: Scalar, what is minimised.
        scalars: Figures to be logged by name: each a scalar tensor without gradient.
    """

    total: Tensor
    scalars: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A batch as the encoder saw it.

    Attributes:
        rows: (B,) int64 training rows.
        views: (n_views, B, dim) unit vectors; the views differ by dropout alone.
    """

    rows: NDArray[np.int64]
    views: Tensor

    @property
    def flat(self) -> Tensor:
        """(n_views * B, dim), one view after the other."""
        return self.views.flatten(0, 1)


@dataclass(frozen=True, slots=True)
class LossPart:
    """Losses of the same kind.

    Attributes:
        losses: (n,) unreduced, weights of sentences applied.
        weight: Of their mean in the total.
    """

    losses: Tensor
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Outputs:
    """What an objective makes of a batch.

    Attributes:
        parts: The raw losses.
        score: Maps (n, dim) embeddings to (n, C) logits that R-Drop and outlier exposure compare: plain ones, without
            margin or prior. None without class vectors.
        no_match: Logit of "no match" where it is one more column of the softmax.
        scalars: Further figures to be logged.
    """

    parts: Sequence[LossPart]
    score: Callable[[Tensor], Tensor] | None = None
    no_match: float | Tensor | None = None
    scalars: dict[str, Tensor] = field(default_factory=dict)


class Regulariser(nn.Module, ABC):
    """A term beside the raw loss.

    Attributes:
        name: Under which its value is logged.
        weight: The hyper-parameter that multiplies it.
        views: Passes of each sentence that it compares.
    """

    name: str
    weight: str
    views: int = 1

    def extra_rows(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows that it wants encoded beside the batch's `n`."""
        return np.empty(0, np.int64)

    @abstractmethod
    def loss(self, batch: EncodedBatch, outputs: Outputs, extra: Tensor) -> Tensor:
        """Scalar; `extra` are the embeddings of `extra_rows`."""


class TrainingObjective(nn.Module, ABC):
    """Something to minimise; its parameters are trained with the encoder's.

    Args:
        config: The settings.
        regularisers: Terms beside the raw loss.
    """

    views: int = 1

    def __init__(self, config: Config, regularisers: Sequence[Regulariser] = ()) -> None:
        super().__init__()
        self.config = config
        self.regularisers = nn.ModuleList(regularisers)

    @abstractmethod
    def plan(self, rng: np.random.Generator, encode_training: EncodeTraining) -> BatchPlan:
        """Cut the coming epoch into batches."""

    @abstractmethod
    def outputs(self, batch: EncodedBatch, hyper: Hyperparameters) -> Outputs:
        """The raw losses of a batch."""

    def head(self) -> Head | None:
        """The class vectors as they are now, in the precision that a bundle keeps; None without any."""
        return None

    def label_head(self) -> LabelHead | None:
        """The same for several labels a sentence."""
        return None

    def sparse_parameters(self) -> list[nn.Parameter]:
        """Parameters of which a step touches a few rows only."""
        return []

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters that learn at head_learning_rate."""
        return []

    def constrainable(self) -> nn.Module | None:
        """The module whose `weight` a weight constraint on the head holds."""
        return None

    def loss(
        self, rows: NDArray[np.int64], encode: EncodeRows, hyper: Hyperparameters, rng: np.random.Generator
    ) -> StepLoss:
        """Loss of one batch: the raw loss, flooded if so set, and the regularisers.

        Args:
            rows: (B,) of the plan.
            encode: Called once, for all views and extra rows together.
            hyper: Values in force.
            rng: Draws the extra rows; the same at every process.
        """
        terms = [term for term in self.regularisers if isinstance(term, Regulariser)]
        n_views = max([self.views, *(term.views for term in terms)])
        extra_rows = [term.extra_rows(len(rows), rng) for term in terms]
        embeddings = encode(np.concatenate([np.tile(rows, n_views), *extra_rows]))
        sizes = [n_views * len(rows), *map(len, extra_rows)]
        own, *extras = torch.split(embeddings, sizes)
        batch = EncodedBatch(rows, own.view(n_views, len(rows), -1))
        outputs = self.outputs(batch, hyper)
        total, scalars = self._flooded(outputs.parts, hyper["flood_level"])
        for term, extra in zip(terms, extras, strict=True):
            value = term.loss(batch, outputs, extra)
            total = total + hyper[term.weight] * value
            scalars[term.name] = value.detach()
        return StepLoss(total, scalars | outputs.scalars)

    def _flooded(self, parts: Sequence[LossPart], level: float) -> tuple[Tensor, dict[str, Tensor]]:
        raw = torch.stack([part.weight * part.losses.mean() for part in parts]).sum()
        scalars = {"loss_raw": raw.detach()}
        if level <= 0:
            return raw, scalars
        if self.config.flood_mode is FloodMode.BATCH:
            return flood(raw, level), scalars | {"flooded_share": flooded_share(raw.detach(), level)}
        every = torch.cat([part.losses.detach() for part in parts])
        total = torch.stack([part.weight * instance_flood(part.losses, level).mean() for part in parts]).sum()
        return total, scalars | {"flooded_share": flooded_share(every, level)}
