"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from model.config import Config


def learning_rate(step: int, total_steps: int, config: Config) -> float:
    """Linear warm-up from 0, then constant or a half cosine to 0.

    Args:
        step: Optimiser steps done, from 0.
        total_steps: Steps of the whole run.
        config: learning_rate, warmup_share, schedule.
    """
    warmup = int(config.warmup_share * total_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - warmup) / max(1, total_steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
