"""AM-Softmax (CosFace): cross-entropy over cosines with a margin taken from the true one."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class AMSoftmaxLoss(nn.Module):
    """Additive-margin softmax over one class vector a group.

    The margin is subtracted by index and the rest is an ordinary float32 cross-entropy: the form that subtracts from a
    logsumexp loses all digits once scale * margin passes 15.

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
        return embeddings.float() @ functional.normalize(self.weight, dim=1).T

    def forward(self, embeddings: Tensor, label_indices: Tensor) -> Tensor:
        """Mean loss of a batch: (B, dim) unit embeddings, (B,) int64 label indices."""
        return am_softmax(self.cosines(embeddings), label_indices, margin=self.margin, scale=self.scale)


def am_softmax(cosines: Tensor, label_indices: Tensor, *, margin: float, scale: float) -> Tensor:
    """Mean AM-Softmax of (B, V) cosines whose true column is `label_indices`."""
    shift = functional.one_hot(label_indices, cosines.shape[1]).to(cosines.dtype) * margin
    return functional.cross_entropy(scale * (cosines - shift), label_indices)
