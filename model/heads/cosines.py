"""Cosines of embeddings with class vectors of any length."""

from torch import Tensor
from torch.nn.functional import normalize

from model.losses.precision import full_precision, inner_products


def cosine_matrix(embeddings: Tensor, class_vectors: Tensor) -> Tensor:
    """Cosines in full precision: half has too few digits for what a scale of 30 multiplies.

    Rounding can carry a cosine past 1; where the clamp cuts it, its gradient is zero, and so it would be anyway after
    the normalisation behind it: the two vectors are parallel there.

    Args:
        embeddings: (B, dim), unit length.
        class_vectors: (C, dim), not zero.

    Returns:
        (B, C) float32 (float64 for float64) in [-1, 1].
    """
    return inner_products(embeddings, normalize(full_precision(class_vectors), dim=1)).clamp(-1, 1)
