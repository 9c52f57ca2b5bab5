"""Cross-entropy of one true column, per sentence, with label smoothing, and its floor."""

import math

from torch import Tensor
from torch.nn import functional

from model.losses.precision import full_precision


def cross_entropy(logits: Tensor, label_indices: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the target (1 - e) on the true column and e spread evenly over all.

    Smoothing pulls all wrong cosines to one value and caps the true one, against the margin: e <= 0.02 with margins.

    Args:
        logits: (B, C); columns at -inf are out, of the smoothing too.
        label_indices: (B,) int64.
        label_smoothing: e, in [0, 1).

    Returns:
        (B,) losses in nats, not reduced.

    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    logits = full_precision(logits)
    losses = functional.cross_entropy(logits, label_indices, reduction="none")
    if label_smoothing == 0:
        return losses
    return (1 - label_smoothing) * losses + label_smoothing * cross_entropy_to_uniform(logits)


def cross_entropy_to_uniform(logits: Tensor) -> Tensor:
    """Cross-entropy of (B, C) logits against equal shares of the columns that are not at -inf; (B,) nats."""
    logits = full_precision(logits)
    out = logits.isneginf()
    means = logits.masked_fill(out, 0).sum(dim=1) / (~out).sum(dim=1)
    return logits.logsumexp(dim=1) - means


def label_smoothing_floor(n_labels: int, smoothing: float) -> float:
    """The least smoothed cross-entropy there is, in nats: the entropy of the smoothed target.

    A flood level below it is never reached, and losses of different smoothing do not compare.

    Args:
        n_labels: Number of columns C.
        smoothing: e, in [0, 1).
    """
    rest = smoothing / n_labels
    true = 1 - smoothing + rest
    return -true * math.log(true) - (n_labels - 1) * (rest * math.log(rest) if rest else 0.0)
