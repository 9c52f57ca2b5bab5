"""Outlier exposure against scipy's relative entropy, and the hinge against its definition."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from model.losses.outlier_exposure import outlier_cosine_hinge, outlier_exposure


def test_is_the_relative_entropy_to_equal_shares_and_its_floor() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (7, 5))
    expected = entropy(np.full((7, 5), 0.2), softmax(logits, axis=1), axis=1) + math.log(5)
    np.testing.assert_allclose(outlier_exposure(torch.from_numpy(logits)), expected, rtol=1e-9)


def test_equal_logits_are_at_the_floor_whatever_their_level() -> None:
    """Why the hinge exists: near to all groups costs as little as far from all."""
    cosines = torch.tensor([[0.9] * 4, [-0.1] * 4])
    assert outlier_exposure(30 * cosines).tolist() == pytest.approx([math.log(4)] * 2)
    assert outlier_cosine_hinge(cosines, ceiling=0.3).tolist() == pytest.approx([0.6, 0.0])


def test_finite_at_scale_64_and_90000_columns() -> None:
    logits = torch.zeros(1, 90_000)
    logits[0, 7] = 64
    assert outlier_exposure(logits).item() == pytest.approx(64 - 64 / 90_000, rel=1e-5)


def test_hinge_matches_its_definition_and_moves_the_best_group_alone() -> None:
    cosines = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (50, 3))).requires_grad_()
    losses = outlier_cosine_hinge(cosines, ceiling=0.4)
    rows = cosines.detach().numpy()
    np.testing.assert_allclose(losses.detach(), [max(0.0, max(row) - 0.4) for row in rows], rtol=1e-12)
    losses.sum().backward()
    above = rows.max(axis=1) > 0.4
    assert 0 < above.sum() < 50
    assert cosines.grad is not None
    np.testing.assert_array_equal(cosines.grad, np.eye(3)[rows.argmax(axis=1)] * above[:, None])


def test_gradients() -> None:
    cosines = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (5, 4))).requires_grad_()
    assert torch.autograd.gradcheck(outlier_exposure, 30 * cosines)
    assert torch.autograd.gradcheck(lambda c: outlier_cosine_hinge(c, ceiling=0.4), cosines)
