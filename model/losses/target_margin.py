"""What the margin losses share: logits of which only the true column is moved by a margin."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from model.losses.precision import full_precision


class MarginLogits(Protocol):
    """The form of every margin loss, so that a setting can choose one.

    Args:
        cosines: (B, C) of embeddings with class vectors, in [-1, 1]; half types are computed in float32.
        label_indices: (B,) int64, the true column of each row.
        margin: m, in the unit of the kind.
        scale: s > 0, multiplies every logit.
        strength: 0 to 1: the true logit goes this part of the way from s cos to the full margin. A warm-up raises it.

    Returns:
        (B, C) logits for any loss over one true column, without a prior.
    """

    def __call__(
        self,
        cosines: Tensor,
        label_indices: Tensor,
        *,
        margin: float,
        scale: float | Tensor,
        strength: float | Tensor = 1.0,
    ) -> Tensor: ...


def margin_logits(
    cosines: Tensor,
    label_indices: Tensor,
    harden: Callable[[Tensor], Tensor],
    *,
    scale: float | Tensor,
    strength: float | Tensor,
) -> Tensor:
    """Scaled cosines, the true one replaced by `harden` of it; `harden` maps (B, 1) to (B, 1).

    Setting one column and leaving the rest to an ordinary cross-entropy is exact. The form that subtracts the true term
    from a logsumexp over all columns cancels to -inf from scale * margin = 15 on.
    """
    cosines = full_precision(cosines)
    columns = label_indices[:, None]
    true = cosines.gather(1, columns)
    hardened = true + strength * (harden(true) - true)
    logits = scale * cosines
    return logits.scatter_(1, columns, scale * hardened)  # in place: one copy of (B, C) less
