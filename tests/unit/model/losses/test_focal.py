"""Focal loss against its published value, its formula and the cross-entropy."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from model.losses.focal import focal_loss


def random_logits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 4, (12, 6)), rng.integers(0, 6, 12)


def test_reference_value() -> None:
    logits = torch.tensor([[1, 2, 0.5]], dtype=torch.float64)
    assert focal_loss(logits, torch.tensor([1]), gamma=2).item() == pytest.approx(0.064077637, abs=1e-9)


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 5])
def test_matches_the_formula(gamma: float) -> None:
    logits, labels = random_logits()
    log_p = log_softmax(logits, axis=1)[np.arange(12), labels]
    ours = focal_loss(torch.from_numpy(logits), torch.from_numpy(labels), gamma=gamma)
    np.testing.assert_allclose(ours, -((1 - np.exp(log_p)) ** gamma) * log_p, rtol=1e-10)


def test_gamma_0_is_the_cross_entropy() -> None:
    logits, labels = map(torch.from_numpy, random_logits())
    theirs = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(focal_loss(logits, labels, gamma=0), theirs)


def test_binary_case_matches_the_sigmoid_form() -> None:
    """With two columns x and 0: -(1 - p)^gamma ln p, p = sigmoid(x)."""
    x = np.linspace(-6, 6, 25)
    p = 1 / (1 + np.exp(-x))
    logits = torch.from_numpy(np.stack([x, np.zeros(25)], axis=1))
    ours = focal_loss(logits, torch.zeros(25, dtype=torch.int64), gamma=2)
    np.testing.assert_allclose(ours, -((1 - p) ** 2) * np.log(p), rtol=1e-9)


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
def test_finite_where_float32_knows_nothing_but_certainty(gamma: float) -> None:
    logits = torch.tensor([[64.0, -64.0], [-64.0, 64.0], [0.0, -torch.inf]], requires_grad=True)
    losses = focal_loss(logits, torch.tensor([0, 0, 0]), gamma=gamma)
    losses.sum().backward()
    np.testing.assert_allclose(losses.detach(), [0, 128, 0], atol=1e-4)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_gradient() -> None:
    logits, labels = random_logits()
    assert torch.autograd.gradcheck(
        lambda x: focal_loss(x, torch.from_numpy(labels), gamma=2), torch.from_numpy(logits).requires_grad_()
    )
