"""Normalised softmax (NormFace): cosines times a scale, no margin."""

from torch import Tensor

from model.losses.precision import full_precision


def normalised_softmax_logits(
    cosines: Tensor,
    label_indices: Tensor,
    *,
    margin: float,
    scale: float | Tensor,
    strength: float | Tensor = 1.0,
) -> Tensor:
    """Logits s cos_i; arguments as in `MarginLogits`, of which only `cosines` and `scale` matter.

    The baseline of every margin, and what AdaCos is meant for.

    Source: Wang et al. 2017, arXiv:1704.06369.
    """
    return scale * full_precision(cosines)
