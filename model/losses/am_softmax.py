"""AM-Softmax (CosFace): cross-entropy over cosines with a margin taken from the true one."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.losses.precision import inner_products
from model.losses.target_margin import margin_logits


def am_softmax_logits(
    cosines: Tensor,
    label_indices: Tensor,
    *,
    margin: float,
    scale: float | Tensor,
    strength: float | Tensor = 1.0,
) -> Tensor:
    """Logits s cos_i, and s (cos_t - m) for the true column; arguments as in `MarginLogits`, m a cosine in [0, 1).

    In logits the margin is s m: who changes the scale changes the margin with it.

    Source: Wang et al. 2018, arXiv:1801.05599 (AM-Softmax); Wang et al. 2018, arXiv:1801.09414 (CosFace).
    """
    return margin_logits(cosines, label_indices, lambda true: true - margin, scale=scale, strength=strength)


class AMSoftmaxLoss(nn.Module):
    """Additive-margin softmax over one class vector a group.

    Args:
        n_labels: Number of training groups V, at least 2.
        dim: Width of the embeddings.
        margin: m, subtracted from the true label's cosine; unitless, in [0, 1).
        scale: s, multiplies every logit; unitless, positive.

    Source: Wang et al. 2018, arXiv:1801.05599.
    """

    def __init__(self, n_labels: int, dim: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(n_labels, dim))
        nn.init.xavier_uniform_(self.weight)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """(B, dim) unit embeddings to (B, V) cosines."""
        return inner_products(embeddings, functional.normalize(self.weight, dim=1))

    def forward(self, embeddings: Tensor, label_indices: Tensor) -> Tensor:
        """Mean loss of a batch: (B, dim) unit embeddings, (B,) int64 label indices."""
        return am_softmax(self.cosines(embeddings), label_indices, margin=self.margin, scale=self.scale)


def am_softmax(cosines: Tensor, label_indices: Tensor, *, margin: float, scale: float) -> Tensor:
    """Mean AM-Softmax of (B, V) cosines whose true column is `label_indices`."""
    return functional.cross_entropy(
        am_softmax_logits(cosines, label_indices, margin=margin, scale=scale), label_indices
    )
