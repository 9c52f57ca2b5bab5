"""Learning rate and hyper-parameters at each step, against the formulas written out."""

import numpy as np
import pytest

from model.config import Config, ScheduleShape, make_config
from model.config.schedule import MARGIN_STRENGTH, hyperparameters, learning_rate_factor


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = Config(warmup_share=0.1)
    factors = [learning_rate_factor(step, 100, config) for step in range(101)]
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert factors[10:] == pytest.approx([0.5 * (1 + np.cos(np.pi * n / 90)) for n in range(91)])
    assert factors[100] == pytest.approx(0, abs=1e-12)


def test_the_other_shapes() -> None:
    constant = make_config("classic")
    assert {learning_rate_factor(step, 10, constant) for step in range(10)} == {1.0}
    linear = Config(schedule=ScheduleShape.LINEAR, warmup_share=0)
    assert [learning_rate_factor(step, 4, linear) for step in range(5)] == [1, 0.75, 0.5, 0.25, 0]
    step = Config(schedule=ScheduleShape.STEP, warmup_share=0, schedule_steps=[(0.5, 0.1), (0.8, 0.01)])
    assert [learning_rate_factor(n, 10, step) for n in (0, 4, 5, 7, 8, 9)] == [1, 1, 0.1, 0.1, 0.01, 0.01]


def test_a_hyperparameter_moves_on_straight_lines_between_its_points() -> None:
    config = Config(hyperparameter_schedules={"margin": [(0.2, 0.1), (0.6, 0.3)], "flood_level": [(0, 0.5)]})
    margins = [hyperparameters(step, 10, config)["margin"] for step in (0, 2, 3, 4, 5, 6, 10)]
    assert margins == pytest.approx([0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 0.3])
    values = hyperparameters(7, 10, config)
    assert (values["flood_level"], values["scale"], values[MARGIN_STRENGTH]) == (0.5, 30.0, 1.0)


def test_the_margin_grows_over_its_warm_up_epochs() -> None:
    config = Config(epochs=4, margin_warmup_epochs=2)
    strengths = [hyperparameters(step, 40, config)[MARGIN_STRENGTH] for step in (0, 5, 10, 20, 40)]
    assert strengths == pytest.approx([0, 0.25, 0.5, 1, 1])
