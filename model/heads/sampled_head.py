"""Partial FC: class vectors for very many labels, of which a step touches only some."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.heads.cosines import cosine_matrix
from model.heads.sampling import draw_others
from model.heads.scored import Scored

_BLOCK_ROWS = 16_384


class SampledHead(nn.Module):
    """Cosines with the labels of the batch and with a random sample of the others.

    No part of a step looks at all V labels: only the drawn rows are gathered, their gradient is sparse, and an
    optimiser with moments for single rows (torch.optim.SparseAdam) changes only these. What else runs over parameters
    at each step, such as clipping or averaging, has to leave `weight` out.

    Two calls draw different negatives. What has to be compared column by column, such as the two passes of R-Drop,
    goes through one call as one batch.

    Args:
        n_labels: Number of labels V.
        dim: Width of the embeddings.
        n_negatives: Labels drawn a step beside those of the batch, all different.
        seed: Of the draws. The state of the generator is part of `state_dict`, so a resumed run draws the same.

    Attributes:
        weight: (V, dim); its gradient is sparse.

    Source: An et al. 2022, "Killing Two Birds with One Stone: ... Partial FC", arXiv:2203.15565.
    """

    def __init__(self, n_labels: int, dim: int, *, n_negatives: int, seed: int) -> None:
        super().__init__()
        self.n_labels = n_labels
        self.n_negatives = n_negatives
        self.weight = nn.Parameter(torch.empty(n_labels, dim))
        nn.init.xavier_uniform_(self.weight)
        self._generator = torch.Generator().manual_seed(seed)

    def forward(self, embeddings: Tensor, label_indices: Tensor) -> Scored:
        """Score (B, dim) unit embeddings, whose labels are (B,) int64, against these labels and drawn ones."""
        present, targets = torch.unique(label_indices, return_inverse=True)
        negatives = draw_others(present, self.n_labels, self.n_negatives, self._generator)
        columns = torch.cat([present, negatives])
        return Scored(self.column_cosines(embeddings, columns), targets, columns)

    def column_cosines(self, embeddings: Tensor, columns: Tensor) -> Tensor:
        """(B, dim) unit embeddings to (B, C) cosines with the labels of `columns`, (C,) int64."""
        return cosine_matrix(embeddings, functional.embedding(columns, self.weight, sparse=True))

    @torch.no_grad()
    def cosines(self, embeddings: Tensor) -> Tensor:
        """(B, dim) unit embeddings to (B, V) float32 cosines with all labels, for evaluation."""
        cosines = embeddings.new_empty(len(embeddings), self.n_labels, dtype=torch.float32)
        for start in range(0, self.n_labels, _BLOCK_ROWS):  # in blocks: no normalised copy of the whole table
            block = slice(start, start + _BLOCK_ROWS)
            cosines[:, block] = cosine_matrix(embeddings, self.weight[block])
        return cosines

    @torch.no_grad()
    def class_vectors(self) -> Tensor:
        """One unit vector a label, (V, dim) float32."""
        return functional.normalize(self.weight.detach().float(), dim=1)

    def get_extra_state(self) -> Tensor:
        """The state of the generator, uint8: torch makes it part of `state_dict`."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Put back what `get_extra_state` gave."""
        self._generator.set_state(state.cpu())
