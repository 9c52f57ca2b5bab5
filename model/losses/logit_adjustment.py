"""Logit adjustment in training: the groups' frequencies added to the logits, so that they need not be learnt."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.losses.precision import full_precision


def log_prior(counts: Tensor | NDArray[np.integer], *, tau: float = 1.0) -> Tensor:
    """tau ln p(k), p the frequencies with which training meets the groups.

    Args:
        counts: (V,) sentences of each group as the sampler draws them.
        tau: 1 makes the logits pointwise mutual information; less for very rare groups.

    Returns:
        (V,) float32. For a head that sees some columns only, take those of this.

    Raises:
        ValueError: A group without sentences.

    Source: Menon et al. 2021, arXiv:2007.07314; https://kexue.fm/archives/7615.
    """
    sizes = torch.as_tensor(counts, dtype=torch.float64)
    if not bool((sizes > 0).all()):
        raise ValueError(f"group {int(sizes.argmin())} has no sentences, so no prior: leave it out")
    return (tau * (sizes / sizes.sum()).log()).float()


def adjust_in_loss(logits: Tensor, log_prior: Tensor) -> Tensor:
    """Training: f + tau ln p. The head then learns what is left, and its plain argmax is fair to small groups.

    It comes after the scale: beside s cos it is a margin of (tau / s) ln(p(i) / p(t)) against group i.

    Args:
        logits: (B, C), scale and margin applied.
        log_prior: (C,) of `log_prior`.

    Returns:
        (B, C) for a cross-entropy.
    """
    return full_precision(logits) + log_prior
