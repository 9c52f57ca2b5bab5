"""Focal loss: cross-entropy that fades for sentences already well classified."""

import torch
from torch import Tensor
from torch.nn import functional

from model.losses.precision import full_precision


def focal_loss(logits: Tensor, label_indices: Tensor, *, gamma: float) -> Tensor:
    """-(1 - p_t)^gamma ln p_t.

    It holds confidences down: choose thresholds anew after training with it.

    Args:
        logits: (B, C); columns at -inf are out.
        label_indices: (B,) int64.
        gamma: 0 or more; 0 is the cross-entropy, 2 the authors' choice.

    Returns:
        (B,) losses, not reduced.

    Source: Lin et al. 2017, arXiv:1708.02002, without its alpha.
    """
    losses = functional.cross_entropy(full_precision(logits), label_indices, reduction="none")  # -ln p_t
    missing = -torch.expm1(-losses)  # 1 - p_t, exact where p_t is nearly 1
    # the bound: x^gamma has no gradient at 0 for gamma < 1
    return missing.clamp(min=torch.finfo(losses.dtype).tiny) ** gamma * losses
