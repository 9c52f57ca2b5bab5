"""A linear score a label, for sentences that have several."""

import torch
from torch import Tensor, nn


class LabelHead(nn.Module):
    """Scores of embeddings for all labels: embeddings @ weights.T + bias, unbounded, one threshold 0 in the middle.

    Args:
        n_labels: Number of labels V.
        dim: Width of the embeddings.
    """

    def __init__(self, n_labels: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, n_labels)
        nn.init.zeros_(self.linear.bias)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, dim) embeddings to (B, V) float32 scores, outside autocast: losses for several labels need the digits."""
        with torch.autocast(embeddings.device.type, enabled=False):
            scores: Tensor = self.linear(embeddings.to(self.linear.weight.dtype))
            return scores

    def weights(self) -> Tensor:
        """(V, dim) float32, detached."""
        return self.linear.weight.detach().float()

    def bias(self) -> Tensor:
        """(V,) float32, detached."""
        return self.linear.bias.detach().float()
