"""Cross-entropy with label smoothing against the sum over the smoothed target, and its floor."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from model.losses.cross_entropy import cross_entropy, cross_entropy_to_uniform, label_smoothing_floor


def random_logits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 5, (9, 6)), rng.integers(0, 6, 9)


@pytest.mark.parametrize("smoothing", [0.0, 0.02, 0.1, 0.5])
def test_matches_the_sum_over_the_target(smoothing: float) -> None:
    logits, labels = random_logits()
    target = (1 - smoothing) * np.eye(6)[labels] + smoothing / 6
    expected = -(target * log_softmax(logits, axis=1)).sum(axis=1)
    ours = cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels), label_smoothing=smoothing)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_matches_torch() -> None:
    logits, labels = map(torch.from_numpy, random_logits())
    theirs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, labels, label_smoothing=0.1), theirs)


def test_columns_that_are_out_are_out_of_the_smoothing_too() -> None:
    logits, _ = random_logits()
    labels = torch.tensor([0, 1, 2, 3] * 2 + [0])
    masked = torch.from_numpy(logits)
    masked[:, 4:] = -math.inf
    masked.requires_grad_()
    ours = cross_entropy(masked, labels, label_smoothing=0.1)
    fewer = cross_entropy(torch.from_numpy(logits[:, :4]), labels, label_smoothing=0.1)
    torch.testing.assert_close(ours, fewer)
    ours.sum().backward()
    assert masked.grad is not None
    assert masked.grad.isfinite().all()
    assert (masked.grad[:, 4:] == 0).all()


@pytest.mark.parametrize(
    ("n_labels", "smoothing", "expected"),
    [(90_000, 0.1, 1.466), (1000, 0.1, 1.015), (90_000, 0.05, 0.769), (90_000, 0.0, 0.0)],
)
def test_floor_reference_values(n_labels: int, smoothing: float, expected: float) -> None:
    assert label_smoothing_floor(n_labels, smoothing) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("smoothing", [0.02, 0.1])
def test_the_floor_is_what_descent_reaches(smoothing: float) -> None:
    logits = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14)
    label = torch.tensor([2])

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = cross_entropy(logits, label, label_smoothing=smoothing).sum()
        value.backward()
        return value

    optimiser.step(loss)
    assert loss().item() == pytest.approx(label_smoothing_floor(5, smoothing), abs=1e-8)


def test_cross_entropy_to_uniform_is_the_mean_over_all_columns() -> None:
    logits, _ = random_logits()
    losses = [cross_entropy(torch.from_numpy(logits), torch.full((9,), i)) for i in range(6)]
    torch.testing.assert_close(cross_entropy_to_uniform(torch.from_numpy(logits)), torch.stack(losses).mean(dim=0))


def test_gradient() -> None:
    logits, labels = random_logits()
    assert torch.autograd.gradcheck(
        lambda x: cross_entropy(x, torch.from_numpy(labels), label_smoothing=0.1),
        torch.from_numpy(logits).requires_grad_(),
    )


def test_finite_at_scale_64_and_90000_columns() -> None:
    logits = torch.full((2, 90_000), -64.0)
    logits[0, 0] = 64.0
    logits[1, 1] = 64.0
    losses = cross_entropy(logits, torch.tensor([0, 0]))
    np.testing.assert_allclose(losses, [0, 128], atol=1e-5)
