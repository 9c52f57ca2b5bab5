"""Binary cross-entropy: several labels a sentence, each one a yes-or-no question of its own."""

from torch import Tensor
from torch.nn import functional

from model.losses.precision import full_precision


def binary_cross_entropy(
    scores: Tensor,
    labels: Tensor,
    known: Tensor | None = None,
    *,
    positive_weight: float | Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Sum over the known labels of -(w t ln sigmoid(s) + (1 - t) ln sigmoid(-s)).

    The sum grows with the number of labels, and nearly all of it comes from negatives where labels are many.

    Args:
        scores: (B, V), before any sigmoid.
        labels: (B, V) t in [0, 1].
        known: (B, V) bool; False is missing and left out. None: all are known.
        positive_weight: w, a number or (V,), for the labels that hold; None for 1.
        weights: (B, V), of each entry, for instance `soft_f1_weights`.

    Returns:
        (B,) losses in nats: sums over the labels, not reduced over the batch.
    """
    scores = full_precision(scores)
    labels = labels.to(scores.dtype)
    if known is not None:
        labels = labels.masked_fill(~known, 0)
    positive = labels if positive_weight is None else positive_weight * labels
    losses = -positive * functional.logsigmoid(scores) - (1 - labels) * functional.logsigmoid(-scores)  # (B, V)
    if weights is not None:
        losses = losses * weights
    return (losses if known is None else losses.masked_fill(~known, 0)).sum(dim=1)
