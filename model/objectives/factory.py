"""Which objective a run minimises."""

import numpy as np
from numpy.typing import NDArray

from model.config import Objective
from model.data.features import FeatureTable
from model.data.training_data import TrainingData
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
    """
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
