"""ArcFace: a margin added to the angle between an embedding and its class vector."""

import math

import torch
from torch import Tensor

from model.losses.target_margin import margin_logits


def arcface_logits(
    cosines: Tensor,
    label_indices: Tensor,
    *,
    margin: float,
    scale: float | Tensor,
    strength: float | Tensor = 1.0,
) -> Tensor:
    """Logits s cos_i, and s cos(theta_t + m) for the true column; arguments as in `MarginLogits`, m in radians.

    cos(theta + m) rises again once theta + m passes pi and would reward what is furthest from its class vector. From
    there on it is cos(theta) - m sin(m), which falls all the way.

    Source: Deng et al. 2019, arXiv:1801.07698; the continuation is that of the authors' published code.
    """
    return margin_logits(
        cosines, label_indices, lambda true: _add_to_angle(true, margin), scale=scale, strength=strength
    )


def _add_to_angle(cosines: Tensor, margin: float) -> Tensor:
    # By the sum formula, without arccos. Its root is steep at cos = 1 and would be infinitely so there: the bound keeps
    # the value to 1e-14 and lets the gradient at the very edge be that of the cosine part alone.
    squared_sines = (1 - cosines) * (1 + cosines)
    sines = squared_sines.clamp(min=torch.finfo(cosines.dtype).eps ** 2).sqrt()
    shifted = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), shifted, cosines - margin * math.sin(margin))
