"""In-batch margin softmax: pairs of one group against every other group of the batch, with a margin on the pair."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from model.losses.precision import inner_products


def in_batch_margin_softmax(
    first: Tensor, second: Tensor, groups: Tensor, *, temperature: float, margin: float
) -> Tensor:
    """Symmetric InfoNCE over two sentences of each group, the pair's cosine lessened by a margin.

    The multiple-negatives ranking loss with the additive margin of AM-Softmax: row i asks which of the second sentences
    belongs to first sentence i, column i the reverse. Where a group fills several rows, its other rows are no negatives
    and are left out.

    Args:
        first: (n, dim) unit embeddings.
        second: (n, dim) unit embeddings, row i of the group of row i of `first`.
        groups: (n,) int64.
        temperature: Divides the cosines; the scale is its inverse.
        margin: Subtracted from each pair's own cosine, in [0, 1).

    Returns:
        (n,) losses in nats, the mean of each pair's two directions.

    Source: Henderson et al. 2017, arXiv:1705.00652 (in-batch negatives); Yang et al. 2019, arXiv:1902.08564 (margin).
    """
    cosines = inner_products(first, second)  # (n, n)
    diagonal = torch.eye(len(groups), dtype=torch.bool, device=cosines.device)
    same_group = (groups[:, None] == groups[None, :]) & ~diagonal
    logits = torch.where(diagonal, cosines - margin, cosines) / temperature
    logits = logits.masked_fill(same_group, -math.inf)
    target = torch.arange(len(groups), device=cosines.device)
    forth = functional.cross_entropy(logits, target, reduction="none")
    back = functional.cross_entropy(logits.T, target, reduction="none")
    return (forth + back) / 2
