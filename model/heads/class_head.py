"""One class vector a label, or several sub-centres of which the best counts."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from model.heads.cosines import cosine_matrix
from model.heads.scored import Scored


class ClassHead(nn.Module):
    """Cosines of embeddings with the class vectors of all labels.

    The class vectors are normalised on the way forward, so that neither the optimiser nor weight decay has to know.
    With K sub-centres a label scores as its nearest one: wrong sentences of a group gather at a sub-centre of their
    own and leave the others clean.

    Args:
        n_labels: Number of labels V.
        dim: Width of the embeddings.
        sub_centers: Class vectors a label, K.

    Attributes:
        weight: (V * K, dim); the sub-centres of one label stand one after the other.

    Source: Deng et al. 2020, "Sub-center ArcFace" (sub-centres).
    """

    def __init__(self, n_labels: int, dim: int, *, sub_centers: int = 1) -> None:
        super().__init__()
        self.n_labels = n_labels
        self.sub_centers = sub_centers
        self.weight = nn.Parameter(torch.empty(n_labels * sub_centers, dim))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor, label_indices: Tensor) -> Scored:
        """Score (B, dim) unit embeddings, whose labels are (B,) int64, against all labels."""
        return Scored(self.cosines(embeddings), label_indices)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """(B, dim) unit embeddings to (B, V) float32 cosines, each label's best sub-centre."""
        cosines = cosine_matrix(embeddings, self.weight)
        if self.sub_centers == 1:
            return cosines
        return cosines.view(len(cosines), self.n_labels, self.sub_centers).amax(dim=2)

    @torch.no_grad()
    def count_assignments(self, embeddings: Tensor, label_indices: Tensor) -> Tensor:
        """How many sentences of each label have which of its sub-centres as their nearest.

        Returns:
            (V, K) int64; the counts of several batches may be added up.
        """
        own = normalize(self.weight.view(self.n_labels, self.sub_centers, -1)[label_indices], dim=2)  # (B, K, dim)
        nearest = (own @ embeddings.to(own.dtype)[:, :, None]).squeeze(2).argmax(dim=1)
        chosen = label_indices * self.sub_centers + nearest
        return torch.bincount(chosen, minlength=len(self.weight)).view(self.n_labels, self.sub_centers)

    @torch.no_grad()
    def class_vectors(self, counts: Tensor | None = None) -> Tensor:
        """One unit vector a label, (V, dim) float32.

        Args:
            counts: (V, K) from `count_assignments`: the sub-centre that most sentences of a label are nearest to
                stands for it. Needed with sub-centres only.

        Raises:
            ValueError: There are sub-centres and no counts to choose by.
        """
        vectors = normalize(self.weight.detach().float(), dim=1)
        if self.sub_centers == 1:
            return vectors
        if counts is None:
            raise ValueError(f"{self.sub_centers} sub-centres a label: counts must say which one stands for it")
        first = torch.arange(0, len(vectors), self.sub_centers, device=vectors.device)
        return vectors[first + counts.to(vectors.device).argmax(dim=1)]
