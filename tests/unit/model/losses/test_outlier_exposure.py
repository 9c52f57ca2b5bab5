"""Outlier exposure against scipy's relative entropy, and "no match" against a softmax with one more column."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from model.losses.outlier_exposure import no_match_loss, outlier_exposure


def test_is_the_relative_entropy_to_equal_shares_and_its_floor() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (7, 5))
    expected = entropy(np.full((7, 5), 0.2), softmax(logits, axis=1), axis=1) + math.log(5)
    np.testing.assert_allclose(outlier_exposure(torch.from_numpy(logits)), expected, rtol=1e-9)


def test_equal_logits_are_at_the_floor_whatever_their_level() -> None:
    """Why "no match" is a column of its own: near to all groups costs as little as far from all, and should not."""
    cosines = torch.tensor([[0.9] * 4, [-0.1] * 4])
    assert outlier_exposure(30 * cosines).tolist() == pytest.approx([math.log(4)] * 2)
    near, far = no_match_loss(30 * cosines, 30 * 0.4)
    assert near.item() == pytest.approx(30 * 0.5 + math.log(4), rel=1e-5)
    assert far.item() < 1e-5


def test_finite_at_scale_64_and_90000_columns() -> None:
    logits = torch.zeros(1, 90_000)
    logits[0, 7] = 64
    assert outlier_exposure(logits).item() == pytest.approx(64 - 64 / 90_000, rel=1e-5)


def test_no_match_is_one_more_column() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (7, 5))
    expected = -log_softmax(np.column_stack([logits, np.full(7, 2.5)]), axis=1)[:, -1]
    np.testing.assert_allclose(no_match_loss(torch.from_numpy(logits), 2.5), expected, rtol=1e-9)
    np.testing.assert_allclose(no_match_loss(torch.from_numpy(logits), torch.tensor(2.5)), expected, rtol=1e-9)


def test_gradients() -> None:
    cosines = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (5, 4))).requires_grad_()
    assert torch.autograd.gradcheck(outlier_exposure, 30 * cosines)
    assert torch.autograd.gradcheck(lambda c: no_match_loss(30 * c, 12.0), cosines)
