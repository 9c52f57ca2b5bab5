"""Soft F1: the F1 of every label from probabilities in place of decisions, as a loss and as weights."""

import torch
from torch import Tensor

from model.losses.precision import full_precision


def soft_f1_loss(probabilities: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
    """1 - mean over the labels of F1 = 2 sum(y p) / sum(y + p), both sums over the batch.

    It is noisy unless the batch holds several positives of each label. A label without any has F1 = 0 and no gradient;
    where it is predicted with nothing at all, F1 = 1.

    Args:
        probabilities: (B, V) in [0, 1]: of a sigmoid, or of a softmax with one-hot labels.
        labels: (B, V), 0 or 1, or shares in between.
        known: (B, V) bool; False leaves an entry out of both sums.

    Returns:
        A scalar in [0, 1]; it does not fall apart into sentences.

    Source: the smooth F1 of https://kexue.fm/archives/7708.
    """
    return 1 - _f1(*_selected(probabilities, labels, known)).mean()


def soft_f1_weights(probabilities: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
    """Weights of a binary cross-entropy: 2 - F1 for positives, F1 for negatives, F1 that of the label in this batch.

    dF1 / dp = (2y - F1) / sum(y + p): the soft F1 weighs its entries so, but also by p (1 - p), which leaves the worst
    ones alone. The same weights on a cross-entropy do without that factor. At F1 = 1 all weigh the same; for a label
    without positives in the batch F1 = 0, and its negatives weigh nothing.

    Args:
        probabilities: (B, V) in [0, 1].
        labels: (B, V) in [0, 1].
        known: (B, V) bool, as for `soft_f1_loss`.

    Returns:
        (B, V), without gradient; 0 where not known.

    Source: https://kexue.fm/archives/7708.
    """
    probabilities, labels = _selected(probabilities.detach(), labels, known)
    f1 = _f1(probabilities, labels)
    weights = labels * (2 - f1) + (1 - labels) * f1
    return weights if known is None else weights.masked_fill(~known, 0)


def _selected(probabilities: Tensor, labels: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    probabilities = full_precision(probabilities)
    labels = labels.to(probabilities.dtype)
    if known is None:
        return probabilities, labels
    return probabilities.masked_fill(~known, 0), labels.masked_fill(~known, 0)


def _f1(probabilities: Tensor, labels: Tensor) -> Tensor:
    claimed = (labels + probabilities).sum(dim=0)  # (V,)
    nothing = claimed == 0
    return torch.where(nothing, 1, 2 * (labels * probabilities).sum(dim=0) / claimed.masked_fill(nothing, 1))
