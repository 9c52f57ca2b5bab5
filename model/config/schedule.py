"""Learning rate and hyper-parameters as pure functions of the step: nothing to save, nothing to restore."""

import math
from collections.abc import Mapping

import numpy as np

from model.config import Config, ScheduleShape
from model.config.combinations import SCHEDULABLE

MARGIN_STRENGTH = "margin_strength"
"""Share of the margin in force, from 0 to 1: the hyper-parameter behind margin_warmup_epochs."""

Hyperparameters = Mapping[str, float]
"""Values in force at a step: every name of SCHEDULABLE, and MARGIN_STRENGTH."""


def learning_rate_factor(step: int, total_steps: int, config: Config) -> float:
    """What the learning rates are multiplied by: linear warm-up from 0, then the schedule's shape.

    Args:
        step: Optimiser steps done, from 0.
        total_steps: Steps of the whole run.
        config: warmup_share, schedule, schedule_steps.
    """
    warmup = int(config.warmup_share * total_steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    if config.schedule is ScheduleShape.COSINE:
        return 0.5 * (1 + math.cos(math.pi * progress))
    if config.schedule is ScheduleShape.LINEAR:
        return 1 - progress
    if config.schedule is ScheduleShape.STEP:
        passed = [factor for share, factor in config.schedule_steps if step >= share * total_steps]
        return passed[-1] if passed else 1.0
    return 1.0


def hyperparameters(step: int, total_steps: int, config: Config) -> Hyperparameters:
    """The values in force at a step: the settings, those with a schedule interpolated between its points."""
    values = {name: float(getattr(config, name)) for name in SCHEDULABLE}
    share = step / max(1, total_steps)
    for name, points in config.hyperparameter_schedules.items():
        values[name] = float(np.interp(share, [at for at, _ in points], [value for _, value in points]))
    epochs_done = share * config.epochs
    grown = epochs_done / config.margin_warmup_epochs if config.margin_warmup_epochs else 1.0
    values[MARGIN_STRENGTH] = min(1.0, grown)
    return values


def planned_values(name: str, config: Config) -> list[float]:
    """What a hyper-parameter moves between: the values of its schedule in order, or the one that it keeps."""
    points = config.hyperparameter_schedules.get(name)
    return [value for _, value in points] if points else [float(getattr(config, name))]
