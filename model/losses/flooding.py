"""Flooding: a training loss that is held at a level instead of being driven to zero."""

from torch import Tensor


def flood(mean_loss: Tensor, level: float) -> Tensor:
    """|L - b| + b: descent above the level, ascent below it; around it the steps shrink the gradient's norm.

    Take the mean of all that one optimiser step sees: over processes and accumulated batches together, since the sign
    of parts turns this into something like `instance_flood`. Flood the main cross-entropy alone, unsmoothed: other
    terms have floors of their own.

    Args:
        mean_loss: Scalar L, in nats.
        level: b, above what the loss can reach at all and below where it would end; 0 or less for off.

    Source: Ishida et al. 2020, arXiv:2002.08709.
    """
    return (mean_loss - level).abs() + level if level > 0 else mean_loss


def instance_flood(losses: Tensor, level: float) -> Tensor:
    """|l_i - b| + b of every sentence: well learnt ones are let go, hard ones still learn.

    Args:
        losses: (B,) in nats.
        level: b as for `flood`.

    Returns:
        (B,), not reduced.

    Source: Xie et al. 2022, iFlood, https://openreview.net/forum?id=MsHnJPaBUZE.
    """
    return flood(losses, level)


def flooded_share(losses: Tensor, level: float) -> Tensor:
    """Share of (B,) losses below the level, for a scalar 1 or 0: what is being unlearnt, a float32 scalar to log."""
    return (losses.detach() < level).float().mean()
