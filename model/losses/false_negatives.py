"""False negatives: other groups that lie so near a sentence that they may mean the same."""

import math

from torch import Tensor


def filter_false_negatives(logits: Tensor, cosines: Tensor, label_indices: Tensor, threshold: float) -> Tensor:
    """Take the wrong columns whose cosine is above a threshold out of the softmax.

    Their logits become -inf: no part of the sum and no gradient. insightface multiplies such a cosine by 0 instead: no
    gradient either, but a rival at a right angle stays in the sum, which the true logit still has to outweigh. Among
    millions of faces that is nothing; with few groups, or with a prior added to the logits, it is.

    Args:
        logits: (B, C), margins and scale applied.
        cosines: (B, C), plain.
        label_indices: (B,) int64; the true column stays whatever its cosine.
        threshold: In [-1, 1]; well above what confusable groups reach, or the hardest true negatives go too.

    Returns:
        (B, C) logits.

    Source: the interclass filtering of insightface's partial_fc_v2 (An et al. 2022, arXiv:2203.15565).
    """
    too_near = (cosines.detach() > threshold).scatter_(1, label_indices[:, None], False)
    return logits.masked_fill(too_near, -math.inf)
