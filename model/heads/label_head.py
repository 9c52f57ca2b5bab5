"""A linear score a label, for sentences that have several."""

import torch
from torch import Tensor, nn

_RAREST = 1e-4


class LabelHead(nn.Module):
    """Scores of embeddings for all labels: embeddings @ weights.T + bias, unbounded, one threshold 0 in the middle.

    Args:
        n_labels: Number of labels V.
        dim: Width of the embeddings.
        positive_rates: (V,) share of the training sentences that have each label. The bias then starts at
            log(rate / (1 - rate)), so that the first steps need not learn how rare a label is. Without them it
            starts at 0.

    Source: Lin et al. 2017, arXiv:1708.02002 (the start of the bias).
    """

    def __init__(self, n_labels: int, dim: int, *, positive_rates: Tensor | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, n_labels)
        with torch.no_grad():
            # a label that always or never occurs would start at infinity
            self.linear.bias.copy_(
                torch.zeros(n_labels) if positive_rates is None else torch.logit(positive_rates, eps=_RAREST)
            )

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
