"""A-Softmax (SphereFace): the angle between an embedding and its class vector multiplied by a whole margin."""

import math

import torch
from torch import Tensor

from model.losses.target_margin import margin_logits


def a_softmax_logits(
    cosines: Tensor,
    label_indices: Tensor,
    *,
    margin: float,
    scale: float | Tensor,
    strength: float | Tensor = 1.0,
) -> Tensor:
    """Logits s cos_i, and s psi(theta_t) for the true column; arguments as in `MarginLogits`, m a whole number >= 1.

    psi(theta) = (-1)^k cos(m theta) - 2k for theta in [k pi / m, (k + 1) pi / m]: the cosine of the multiplied angle,
    its waves strung together so that it falls from 1 to 1 - 2m. With m = 4 it is hard to converge: let `strength` grow,
    as the authors let their lambda shrink (strength = 1 / (1 + lambda)).

    Raises:
        ValueError: m is not a whole number of at least 1.

    Source: Liu et al. 2017, arXiv:1704.08063.
    """
    if margin < 1 or margin != int(margin):
        raise ValueError(f"A-Softmax multiplies the angle by a whole margin of at least 1, not by {margin}")
    times = int(margin)
    return margin_logits(cosines, label_indices, lambda true: _psi(true, times), scale=scale, strength=strength)


def multiply_angle(cosines: Tensor, times: int) -> Tensor:
    """cos(times * theta) of cos(theta), as the Chebyshev polynomial: its gradient is finite at both ends."""
    before, now = torch.ones_like(cosines), cosines
    for _ in range(times - 1):
        before, now = now, 2 * cosines * now - before
    return now


def _psi(cosines: Tensor, times: int) -> Tensor:
    borders = torch.tensor([math.cos(j * math.pi / times) for j in range(1, times)]).to(cosines)
    waves_passed = (cosines <= borders).sum(dim=1, keepdim=True)  # k, of (B, 1) cosines
    signs = 1 - 2 * (waves_passed % 2)
    return signs * multiply_angle(cosines, times) - 2 * waves_passed
