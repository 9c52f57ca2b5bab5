"""In-batch margin softmax: pairs of one group against every other group of the batch, with a margin on the pair."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class InBatchMarginSoftmaxLoss(nn.Module):
    """Symmetric InfoNCE over two sentences of each group, the pair's cosine lessened by a margin.

    The multiple-negatives ranking loss with the additive margin of AM-Softmax: row i asks which of the second
    sentences belongs to first sentence i, column i the reverse, and the two cross-entropies are averaged.

    Args:
        temperature: Divides the cosines; the scale is its inverse.
        margin: Subtracted from each pair's own cosine, in [0, 1).

    Source: Henderson et al. 2017, arXiv:1705.00652 (in-batch negatives); Yang et al. 2019, arXiv:1902.08564 (margin).
    """

    def __init__(self, *, temperature: float, margin: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.margin = margin

    def forward(self, first: Tensor, second: Tensor, groups: Tensor) -> Tensor:
        """Mean loss of (n, dim) unit embeddings, row i of both from group `groups[i]` (n,) int64.

        Where a group fills several rows, its other rows are no negatives and are left out.
        """
        cosines = first.float() @ second.float().T  # (n, n)
        diagonal = torch.eye(len(groups), dtype=torch.bool, device=cosines.device)
        same_group = (groups[:, None] == groups[None, :]) & ~diagonal
        logits = (cosines - self.margin * diagonal) / self.temperature
        logits = logits.masked_fill(same_group, float("-inf"))
        target = torch.arange(len(groups), device=cosines.device)
        return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
