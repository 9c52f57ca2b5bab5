"""AM-Softmax (CosFace): cross-entropy over cosines with a margin taken from the true one."""

from torch import Tensor

from model.losses.target_margin import margin_logits


def am_softmax_logits(
    cosines: Tensor,
    label_indices: Tensor,
    *,
    margin: float,
    scale: float | Tensor,
    strength: float | Tensor = 1.0,
) -> Tensor:
    """Logits s cos_i, and s (cos_t - m) for the true column; arguments as in `MarginLogits`, m a cosine in [0, 1).

    In logits the margin is s m: who changes the scale changes the margin with it.

    Source: Wang et al. 2018, arXiv:1801.05599 (AM-Softmax); Wang et al. 2018, arXiv:1801.09414 (CosFace).
    """
    return margin_logits(cosines, label_indices, lambda true: true - margin, scale=scale, strength=strength)
