"""Simpler A-Softmax: the smaller of cos(4 theta) and cos(theta), for reproducing the post it is from."""

import torch
from torch import Tensor

from model.losses.a_softmax import multiply_angle
from model.losses.target_margin import margin_logits

TIMES = 4


def simpler_a_softmax_logits(
    cosines: Tensor,
    label_indices: Tensor,
    *,
    margin: float,
    scale: float | Tensor,
    strength: float | Tensor = 1.0,
) -> Tensor:
    """Logits s cos_i, and s min(cos(4 theta_t), cos(theta_t)) for the true column; arguments as in `MarginLogits`.

    The angle is always multiplied by 4; `margin` does not matter.

    Trap: the true logit falls while its cosine rises from 0.309 to 0.707 (72 down to 45 degrees), and from -0.809 to
    -0.707. There the gradient has the wrong sign: a sentence is pushed away from its own group and may stick at 0.309.

    Source: https://kexue.fm/archives/5743.
    """
    return margin_logits(cosines, label_indices, _smaller, scale=scale, strength=strength)


def _smaller(cosines: Tensor) -> Tensor:
    return torch.minimum(multiply_angle(cosines, TIMES), cosines)
