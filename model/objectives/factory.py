"""Which objective a run minimises."""

import numpy as np
from numpy.typing import NDArray

from model.config import ClassWeight, Config, Loss, Objective, ScaleMode
from model.config.schedule import planned_values
from model.data.features import FeatureTable
from model.data.training_data import TrainingData
from model.errors import ConfigError
from model.losses.adacos import FEWEST_LABELS
from model.losses.cross_entropy import label_smoothing_floor
from model.objectives.base import TrainingObjective
from model.objectives.head import HeadObjective
from model.objectives.in_batch import InBatchObjective, JointObjective, SimCSEObjective
from model.objectives.multi_label import MultiLabelObjective
from model.objectives.regularisers import make_regularisers


def make_objective(
    data: TrainingData, table: FeatureTable, dim: int, seed: int, synthetic: NDArray[np.int64]
) -> TrainingObjective:
    """The objective that the settings name, with its regularisers.

    Args:
        data: With settled settings.
        table: Features of the training rows, then of unlabelled, out-of-scope and synthetic ones.
        dim: Width of the embeddings.
        seed: Of what the objective draws.
        synthetic: Rows of the table that are made outliers.

    Raises:
        ConfigError: Label smoothing keeps the loss above the flood level, or AdaCos has too few groups.
    """
    _check_flood_level(data.config, len(data.labels))
    _check_adacos(data.config, len(data.labels))
    regularisers = make_regularisers(data, dim, synthetic)
    objective = data.config.objective
    if objective is Objective.HEAD:
        return HeadObjective(data, table, dim, regularisers, seed)
    if objective is Objective.JOINT:
        return JointObjective(data, table, dim, regularisers, seed)
    if objective is Objective.MULTI_LABEL:
        return MultiLabelObjective(data, table, dim, regularisers)
    if objective is Objective.SIM_CSE:
        return SimCSEObjective(data, table, regularisers)
    return InBatchObjective(data, regularisers)


def _check_adacos(config: Config, n_labels: int) -> None:
    if config.objective.has_class_vectors and config.scale_mode is ScaleMode.ADACOS and n_labels < FEWEST_LABELS:
        raise ConfigError(
            f"scale_mode=adacos derives the scale from the number of groups and needs {FEWEST_LABELS}, there are "
            f"{n_labels}: set scale_mode=fixed, or add groups"
        )


def _check_flood_level(config: Config, n_labels: int) -> None:
    """Weights and left out columns bring single losses below the floor: nothing is said of them."""
    plain = config.loss is Loss.CROSS_ENTROPY and config.class_weight is ClassWeight.NONE
    if not config.objective.has_class_vectors or not plain or config.false_negative_threshold:
        return
    level = max(planned_values("flood_level", config))
    # a sampled head has a column more than this, or more; more columns have a higher floor
    n_columns = min(n_labels, config.sampled_negatives + 1) if config.sampled_negatives else n_labels
    floor = label_smoothing_floor(n_columns, min(planned_values("label_smoothing", config)))
    if 0 < level < floor:
        raise ConfigError(
            f"flood_level={level:g} would never be reached: label_smoothing with {n_labels} groups keeps the loss at "
            f"{floor:.3g} or more; set flood_level above that, or label_smoothing=0"
        )
