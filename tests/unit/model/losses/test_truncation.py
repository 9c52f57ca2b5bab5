"""Truncated cross-entropies against their formulas and each other."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch.nn.functional import cross_entropy

from model.losses.focal import focal_loss
from model.losses.truncation import hard_truncated_cross_entropy, softened_truncated_cross_entropy


def random_logits(columns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (40, columns)), rng.integers(0, columns, 40)


def test_hard_form_is_the_cross_entropy_up_to_one_half_and_0_beyond() -> None:
    logits, labels = random_logits()
    p = softmax(logits, axis=1)[np.arange(40), labels]
    assert (p > 0.5).any()
    assert (p < 0.5).any()
    ours = hard_truncated_cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    np.testing.assert_allclose(ours, np.where(p > 0.5, 0, -np.log(p)), atol=1e-12)


def test_hard_form_teaches_nothing_on_the_right_side() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    hard_truncated_cross_entropy(logits, torch.tensor([0, 0])).sum().backward()
    assert logits.grad is not None
    assert (logits.grad[0] == 0).all()
    assert logits.grad[1, 0].item() == pytest.approx(-1 / (1 + math.exp(-1)))


@pytest.mark.parametrize("sharpness", [0.5, 1, 3])
def test_softened_form_matches_the_formula(sharpness: float) -> None:
    logits, labels = random_logits()
    rows = np.arange(40)
    expected = -softmax(-sharpness * logits, axis=1)[rows, labels] * log_softmax(logits, axis=1)[rows, labels]
    ours = softened_truncated_cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels), sharpness=sharpness)
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


def test_softened_form_with_two_columns_and_sharpness_1_is_the_focal_loss_of_gamma_1() -> None:
    logits, labels = map(torch.from_numpy, random_logits(columns=2))
    ours = softened_truncated_cross_entropy(logits, labels, sharpness=1)
    torch.testing.assert_close(ours, focal_loss(logits, labels, gamma=1))


def test_softened_form_with_two_columns_tends_to_the_hard_form() -> None:
    logits, labels = map(torch.from_numpy, random_logits(columns=2))
    ours = softened_truncated_cross_entropy(logits, labels, sharpness=1e4)
    torch.testing.assert_close(ours, hard_truncated_cross_entropy(logits, labels))


def test_softened_form_starts_at_the_share_of_one_column() -> None:
    ours = softened_truncated_cross_entropy(torch.zeros(1, 1000), torch.tensor([3]), sharpness=1)
    assert ours.item() == pytest.approx(math.log(1000) / 1000, rel=1e-5)


def test_columns_that_are_out_change_nothing() -> None:
    logits, _ = random_logits()
    labels = torch.arange(40) % 4
    masked = torch.from_numpy(logits)
    masked[:, 4:] = -math.inf
    masked.requires_grad_()
    ours = softened_truncated_cross_entropy(masked, labels, sharpness=2)
    torch.testing.assert_close(
        ours, softened_truncated_cross_entropy(torch.from_numpy(logits[:, :4]), labels, sharpness=2)
    )
    (ours.sum() + hard_truncated_cross_entropy(masked, labels).sum()).backward()
    assert masked.grad is not None
    assert masked.grad.isfinite().all()
    assert (masked.grad[:, 4:] == 0).all()


def test_gradients() -> None:
    logits, labels = map(torch.from_numpy, random_logits())
    logits.requires_grad_()
    assert not torch.isclose(cross_entropy(logits, labels, reduction="none"), torch.tensor(math.log(2)).double()).any()
    assert torch.autograd.gradcheck(lambda x: hard_truncated_cross_entropy(x, labels), logits)
    assert torch.autograd.gradcheck(lambda x: softened_truncated_cross_entropy(x, labels, sharpness=2), logits)
