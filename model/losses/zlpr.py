"""ZLPR: cross-entropy for several labels a sentence, every score against a threshold at zero."""

import math

import torch
from torch import Tensor

from model.losses.precision import full_precision


def zlpr(scores: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
    """ln(1 + sum t e^-s) + ln(1 + sum (1 - t) e^s): labels that hold above zero, the others below.

    Each sum pulls with at most 1 in all, however many labels it has, so that a few positives hold their own against
    thousands of negatives. That also means that one wrong negative with a high score takes nearly the whole pull: mark
    doubtful labels as not known rather than as absent.

    Args:
        scores: (B, V), any real number: neither sigmoid nor softmax, and cosines only times a scale.
        labels: (B, V) t in [0, 1]; 0 or 1 for hard labels.
        known: (B, V) bool; False is missing, out of both sums. None: all are known.

    Returns:
        (B,) losses, not reduced.

    Source: Su et al. 2022, arXiv:2208.02955; soft labels: https://kexue.fm/archives/9064.
    """
    scores = full_precision(scores)
    labels = labels.to(scores.dtype)
    if known is not None:
        labels = labels.masked_fill(~known, 0)
    # ln 0 = -inf takes a term out of its sum exactly; a large negative number would not survive half precision
    pull_up = labels.log() - scores
    push_down = torch.log1p(-labels) + scores
    if known is not None:
        push_down = push_down.masked_fill(~known, -math.inf)
    return _log_one_plus_sum(pull_up) + _log_one_plus_sum(push_down)


def _log_one_plus_sum(exponents: Tensor) -> Tensor:
    return torch.cat([exponents.new_zeros(len(exponents), 1), exponents], dim=1).logsumexp(dim=1)
