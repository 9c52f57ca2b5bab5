"""AdaCos: a scale for the cosines that follows from the number of groups and from how far training has come."""

import math
from typing import Final

import torch
from torch import Tensor, nn

from model.losses.precision import full_precision

FEWEST_LABELS: Final = 3
"""With two groups the formula gives a scale of 0."""

_LEAST_COSINE = math.cos(math.pi / 4)
_LEAST_SCALE = 1.0


def fixed_scale(n_labels: int) -> float:
    """sqrt(2) ln(C - 1): at 45 degrees from its class vector and 90 from all others a sentence has probability 1/2.

    Args:
        n_labels: Number of groups C, at least 3: with two, the formula gives 0.

    Raises:
        ValueError: Fewer than 3 groups.

    Source: Zhang et al. 2019, arXiv:1905.00292.
    """
    if n_labels < FEWEST_LABELS:
        raise ValueError(f"AdaCos derives the scale from the number of groups and needs at least 3, not {n_labels}")
    return math.sqrt(2) * math.log(n_labels - 1)


class AdaCosScale(nn.Module):
    """A scale that starts at `fixed_scale` and is set anew by every training batch.

    It belongs with plain cosines: a margin on top asks for more than the scale was derived for.

    Args:
        n_labels: Number of groups C, at least 3.

    Source: Zhang et al. 2019, arXiv:1905.00292.
    """

    scale: Tensor

    def __init__(self, n_labels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(fixed_scale(n_labels), dtype=torch.float32))

    def value(self) -> Tensor:
        """The scale as it is now, a float32 scalar; a copy, so that a later update leaves a pending backward alone."""
        return self.scale.clone()

    @torch.no_grad()
    def update(self, cosines: Tensor, label_indices: Tensor) -> None:
        """Set the scale by a batch: ln B / cos(min(pi / 4, median true angle)); in evaluation mode nothing happens.

        B is the mean over the batch of the sum of exp(s cos) over the wrong columns, with the scale s so far. The
        result is kept at 1 or above (ours; the paper has no bound): B falls below 1 where a few groups lie far apart.

        Args:
            cosines: (B, C), before any margin.
            label_indices: (B,) int64.
        """
        if not self.training:
            return
        cosines = full_precision(cosines)
        columns = label_indices[:, None]
        wrong = (self.scale * cosines).scatter_(1, columns, -math.inf)
        log_mass = wrong.flatten().logsumexp(0) - math.log(len(cosines))  # in logs: exp(s) may not fit
        median_cosine = -(-cosines.gather(1, columns)).median()  # the lower median of the angles
        self.scale.copy_((log_mass / median_cosine.clamp(min=_LEAST_COSINE)).clamp(min=_LEAST_SCALE))
