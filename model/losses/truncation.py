"""Truncated cross-entropy: sentences on the right side teach nothing more, abruptly or smoothly."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from model.losses.precision import full_precision


def hard_truncated_cross_entropy(logits: Tensor, label_indices: Tensor) -> Tensor:
    """-ln p_t while p_t <= 1/2, then 0.

    Nothing holds a sentence on the right side once it is there, which makes training slow.

    Args:
        logits: (B, C); columns at -inf are out.
        label_indices: (B,) int64.

    Returns:
        (B,) losses in nats, not reduced.

    Source: https://kexue.fm/archives/4733.
    """
    losses = functional.cross_entropy(full_precision(logits), label_indices, reduction="none")
    return losses * (losses >= math.log(2))


def softened_truncated_cross_entropy(logits: Tensor, label_indices: Tensor, *, sharpness: float) -> Tensor:
    """-softmax(-K x)_t ln softmax(x)_t: the step of the hard form as a sigmoid, carried over to many columns.

    With two columns and K = 1 it is the focal loss of gamma 1; large K gives the hard form. With C columns an untrained
    sentence has weight 1 / C, so that training starts slowly.

    Args:
        logits: (B, C) x; columns at -inf are out.
        label_indices: (B,) int64.
        sharpness: K > 0.

    Returns:
        (B,) losses, not reduced.

    Source: https://kexue.fm/archives/4733.
    """
    logits = full_precision(logits)
    losses = functional.cross_entropy(logits, label_indices, reduction="none")
    opposed = torch.where(logits.isneginf(), logits, -sharpness * logits)
    weights = opposed.softmax(dim=1).gather(1, label_indices[:, None]).squeeze(1)
    return weights * losses
