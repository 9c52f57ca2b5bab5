"""Center loss: the distance of an embedding from a trained centre of its group."""

import torch
from torch import Tensor, nn

from model.losses.precision import full_precision


class CenterLoss(nn.Module):
    """One centre a group, trained by the optimiser that trains everything else.

    Beside a softmax over unnormalised features; on unit embeddings a margin does the same work. A large weight draws
    all embeddings to one point.

    Args:
        n_labels: Number of groups V.
        dim: Width of the embeddings.

    Source: Wen et al. 2016, https://doi.org/10.1007/978-3-319-46478-7_31; learnt centres: https://kexue.fm/archives/5765.
    """

    def __init__(self, n_labels: int, dim: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.empty(n_labels, dim))
        nn.init.xavier_normal_(self.centres)

    def forward(self, embeddings: Tensor, label_indices: Tensor) -> Tensor:
        """Squared distances (B,) of (B, dim) embeddings from the centres of (B,) int64 label indices."""
        offsets = full_precision(embeddings) - full_precision(self.centres[label_indices])
        return offsets.square().sum(dim=1)
