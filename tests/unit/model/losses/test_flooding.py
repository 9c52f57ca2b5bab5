"""Flooding: the published values, its gradient, and what two steps around the level amount to."""

import numpy as np
import pytest
import torch

from model.losses.flooding import flood, flooded_share, instance_flood


def test_reference_values() -> None:
    assert flood(torch.tensor(0.15), 0.2).item() == pytest.approx(0.25)
    assert flood(torch.tensor(0.35), 0.2).item() == pytest.approx(0.35)
    pair = torch.tensor([0.05, 0.35])
    assert instance_flood(pair, 0.2).mean().item() == pytest.approx(0.35)
    assert flood(pair.mean(), 0.2).item() == pytest.approx(0.2)


def test_mean_of_floods_is_never_below_the_flood_of_the_mean() -> None:
    losses = torch.from_numpy(np.random.default_rng(0).exponential(0.3, 50))
    assert instance_flood(losses, 0.3).mean() > flood(losses.mean(), 0.3)


def test_descends_above_and_climbs_below() -> None:
    losses = torch.tensor([0.05, 0.35], requires_grad=True)
    instance_flood(losses, 0.2).sum().backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == [-1, 1]


@pytest.mark.parametrize("level", [0.0, -1.0])
def test_level_0_is_off(level: float) -> None:
    losses = torch.tensor([0.3, 0.0, 1e-9])
    assert torch.equal(instance_flood(losses, level), losses)


def test_two_steps_around_the_level_shrink_the_gradient_norm() -> None:
    """Down and up again: theta - (rate^2 / 2) grad ||grad L||^2, up to the third order of the rate."""
    start, rate = np.array([0.7, -0.4]), 1e-3
    theta = torch.tensor(start, requires_grad=True)

    def loss() -> torch.Tensor:
        return theta[0] ** 4 + 2 * theta[1] ** 2 + theta[0] * theta[1]

    optimiser = torch.optim.SGD([theta], lr=rate)
    level = loss().item() - 1e-6  # just under where we stand: the first step falls below it
    for _ in range(2):
        optimiser.zero_grad()
        flood(loss(), level).backward()
        optimiser.step()
    x, y = start
    gradient = np.array([4 * x**3 + y, 4 * y + x])
    hessian = np.array([[12 * x**2, 1], [1, 4]])
    predicted = -(rate**2) * hessian @ gradient  # (rate^2 / 2) grad ||g||^2 = rate^2 H g
    np.testing.assert_allclose(theta.detach().numpy() - start, predicted, rtol=0.02)


def test_flooded_share() -> None:
    losses = torch.tensor([0.1, 0.2, 0.3, 0.0])
    assert flooded_share(losses, 0.2).item() == 0.5
    assert flooded_share(losses.mean(), 0.2).item() == 1
    assert flooded_share(losses, 0.2).dtype == torch.float32


def test_gradient() -> None:
    losses = torch.tensor([0.05, 0.35], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: instance_flood(x, 0.2), losses)
