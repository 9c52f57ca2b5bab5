"""Cosines in full precision, whatever precision the encoder runs in."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def cosine_matrix(embeddings: Tensor, class_vectors: Tensor) -> Tensor:
    """Cosines of embeddings with class vectors of any length.

    Half precision has too few digits for what a scale of 30 multiplies, so autocast is off here and half types become
    float32. Rounding can carry a cosine past 1; where the clamp cuts it, its gradient is zero, and so it would be
    anyway after the normalisation behind it: the two vectors are parallel there.

    Args:
        embeddings: (B, dim), unit length.
        class_vectors: (C, dim), not zero.

    Returns:
        (B, C) float32 (float64 for float64) in [-1, 1].
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        return (_at_least_float32(embeddings) @ normalize(_at_least_float32(class_vectors), dim=1).T).clamp(-1, 1)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
