"""Several processes under torchrun: each encodes its share of a batch, all compute the same loss of the whole.

The embeddings of all shares are gathered before the loss, so that negatives, the sign of flooding and every mean are
those of the whole batch, as in one process; only the encoder's gradients differ, and are summed.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run.

    Attributes:
        rank: Of this one, from 0; 0 writes files and talks.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def share(self, n: int) -> list[int]:
        """Sizes of the consecutive shares of n rows, one a process."""
        return [n // self.size + (rank < n % self.size) for rank in range(self.size)]

    def gather(self, own: Tensor, sizes: list[int]) -> Tensor:
        """All shares of (n, dim) embeddings, one below the other; gradients flow into the own share alone."""
        if self.size == 1:
            return own
        padded = own.new_zeros(max(sizes), own.shape[1])
        padded[: len(own)] = own.detach()
        shares = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(shares, padded)
        whole = [share[:size] for share, size in zip(shares, sizes, strict=True)]
        whole[self.rank] = own
        return torch.cat(whole)

    def sum_gradients(self, parameters: Iterable[nn.Parameter], divisor: int = 1) -> None:
        """Add up the dense gradients of all processes, in one message."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        message = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(message)
        message /= divisor
        for gradient, summed in zip(gradients, torch.split(message, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def agree(self, value: Any) -> Any:
        """The main process's value, at every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the main process's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def collect(self, value: Tensor) -> list[Tensor]:
        """Every process's tensor, by rank; all of one shape, on the CPU."""
        if self.size == 1:
            return [value]
        boxes: list[Any] = [None] * self.size
        dist.all_gather_object(boxes, value)
        return boxes


@contextmanager
def joined_world(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started; alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()
