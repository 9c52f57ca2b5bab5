"""Weights of the groups by their sizes, so that small ones count for more in the mean loss."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Counts = Tensor | NDArray[np.integer]


def balanced_weights(counts: Counts) -> Tensor:
    """Weights 1 / n_k: every group counts the same in total.

    Args:
        counts: (V,) sentences of each group that training visits, not those of the file if a sampler evens them out.

    Returns:
        (V,) float32, 0 for empty groups; the mean over the sentences is 1, so that the learning rate keeps its meaning.

    Raises:
        ValueError: A negative count, or no sentence at all.
    """
    sizes = _checked(counts)
    return _normalised(1 / sizes.clamp(min=1), sizes)


def effective_number_weights(counts: Counts, beta: float) -> Tensor:
    """Weights (1 - beta) / (1 - beta^n_k): between none (beta = 0) and balanced (beta to 1).

    Sentences of a group overlap: the n-th brings beta^(n - 1) of a new one, so that a group is worth
    (1 - beta^n) / (1 - beta).

    Args:
        counts: (V,) as for `balanced_weights`.
        beta: In [0, 1); 0.99 to 0.9999, near 1 - 1 / (size at which a group is fully covered).

    Returns:
        (V,) float32 as for `balanced_weights`.

    Raises:
        ValueError: beta outside [0, 1), a negative count, or no sentence at all.

    Source: Cui et al. 2019, arXiv:1901.05555.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta must be in [0, 1), is {beta}")
    sizes = _checked(counts)
    if beta == 0:
        return _normalised(torch.ones_like(sizes), sizes)
    return _normalised((1 - beta) / -torch.expm1(sizes.clamp(min=1) * math.log(beta)), sizes)


def _checked(counts: Counts) -> Tensor:
    sizes = torch.as_tensor(counts, dtype=torch.float64)
    if not bool((sizes >= 0).all()) or float(sizes.sum()) == 0:
        raise ValueError(f"counts must be 0 or more and not all 0, are {sizes.tolist()[:10]}")
    return sizes


def _normalised(weights: Tensor, sizes: Tensor) -> Tensor:
    weights = weights * (sizes > 0)
    return (weights * (sizes.sum() / (weights @ sizes))).float()
