"""Averaged weights against the closed form of the recursion, and their life beside the trained ones."""

import numpy as np
import pytest
import torch
from torch import nn

from model.callbacks.average import WeightAverage


def drift(module: nn.Module, step: int) -> None:
    """Change all weights as a step would, reproducibly."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def values(module: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_the_average_is_the_weighted_sum_of_all_weights_so_far() -> None:
    """average_T = d^T w_0 + (1 - d) sum_t d^(T - t) w_t."""
    linear, decay, steps = nn.Linear(3, 2), 0.9, 25
    average = WeightAverage(linear, decay)
    path = [linear.weight.detach().double().numpy().copy()]
    for step in range(steps):
        drift(linear, step)
        average.update(linear)
        path.append(linear.weight.detach().double().numpy().copy())
    expected = decay**steps * path[0]
    for step in range(1, steps + 1):
        expected = expected + (1 - decay) * decay ** (steps - step) * path[step]
    with average.applied(linear):
        np.testing.assert_allclose(linear.weight.detach().numpy(), expected, atol=1e-5)  # 25 float32 roundings


def test_applied_gives_both_sets_back_bit_for_bit_even_after_an_error() -> None:
    gru = nn.GRU(3, 4)
    average = WeightAverage(gru, 0.5)
    drift(gru, 0)
    average.update(gru)
    own, sequence = values(gru), torch.ones(5, 3)
    output = gru(sequence)[0]
    averaged = {name: value.clone() for name, value in average.state_dict().items()}
    with pytest.raises(KeyError), average.applied(gru):
        assert all(torch.equal(value, averaged[name]) for name, value in gru.named_parameters())
        assert not torch.equal(gru(sequence)[0], output)  # the layer does compute with them
        raise KeyError
    assert all(torch.equal(a, b) for a, b in zip(values(gru), own, strict=True))
    assert all(torch.equal(value, averaged[name]) for name, value in average.state_dict().items())
    assert torch.equal(gru(sequence)[0], output)


def test_a_resumed_average_has_the_same_bits() -> None:
    straight, stopped = nn.Linear(3, 2), nn.Linear(3, 2)
    stopped.load_state_dict(straight.state_dict())
    one, two = WeightAverage(straight, 0.99), WeightAverage(stopped, 0.99)
    for step in range(3):
        drift(straight, step)
        one.update(straight)
        drift(stopped, step)
        two.update(stopped)
    resumed = nn.Linear(3, 2)
    three = WeightAverage(resumed, 0.99)
    resumed.load_state_dict(stopped.state_dict())
    three.load_state_dict(two.state_dict())
    for module, average in ((straight, one), (resumed, three)):
        drift(module, 3)
        average.update(module)
    assert all(torch.equal(value, three.state_dict()[name]) for name, value in one.state_dict().items())


def test_excluded_parameters_are_left_alone() -> None:
    linear = nn.Linear(3, 2)
    average = WeightAverage(linear, 0.5, exclude=["weight"])
    drift(linear, 0)
    average.update(linear)
    weight, bias = values(linear)
    with average.applied(linear):
        assert torch.equal(linear.weight, weight)
        assert not torch.equal(linear.bias, bias)
    assert list(average.state_dict()) == ["bias"]


def test_what_does_not_fit_is_refused() -> None:
    linear = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"no parameters \['wieght'\] to exclude; there are \['weight', 'bias'\]"):
        WeightAverage(linear, 0.9, exclude=["wieght"])
    with pytest.raises(ValueError, match="decay is 1"):
        WeightAverage(linear, 1.0)
    with pytest.raises(ValueError, match=r"averages of \['bias'\] do not fit parameters \['bias', 'weight'\]"):
        WeightAverage(linear, 0.9).load_state_dict({"bias": torch.zeros(2)})
