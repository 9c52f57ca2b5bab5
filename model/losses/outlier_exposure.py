"""Outlier exposure: sentences of no group teach the encoder not to be sure of any."""

import torch
from torch import Tensor
from torch.nn import functional

from model.losses.cross_entropy import cross_entropy_to_uniform
from model.losses.precision import full_precision


def outlier_exposure(logits: Tensor) -> Tensor:
    """Cross-entropy of sentences out of scope against equal shares for all groups.

    Its floor is ln C, not 0. It evens the logits out but says nothing of their level: an outlier that is equally near
    to all groups is at the floor, however near. `no_match_loss` minds the level.

    Args:
        logits: (B, C), without margin.

    Returns:
        (B,) losses in nats; the authors weigh them by 0.5 beside the in-scope mean.

    Source: Hendrycks et al. 2019, arXiv:1812.04606.
    """
    return cross_entropy_to_uniform(logits)


def no_match_loss(logits: Tensor, no_match_logit: float | Tensor) -> Tensor:
    """Cross-entropy of sentences of no group, "no match" being one more column with a constant logit.

    Training sentences have the same column among their negatives: they are drawn above it, outliers below. The logit is
    scale times the cosine where both sides meet, so that a threshold has a place to be.

    Args:
        logits: (B, C) plain logits of sentences of no group.
        no_match_logit: The constant.

    Returns:
        (B,) losses in nats.

    Source: the threshold class of arXiv:2208.02955 within a softmax; ours.
    """
    return functional.softplus(torch.logsumexp(full_precision(logits), dim=1) - no_match_logit)
