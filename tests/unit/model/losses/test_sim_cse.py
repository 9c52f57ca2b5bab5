"""SimCSE against its formula, one direction at a time."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch.nn.functional import normalize

from model.losses.sim_cse import sim_cse


def views() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sentences = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    noise = 0.3 * torch.randn(2, 6, 5, dtype=torch.float64, generator=generator)
    return normalize(sentences + noise[0], dim=1), normalize(sentences + noise[1], dim=1)


def test_reference_value() -> None:
    """One-sided and two-sided are the same for this symmetric pair: s = 20, (1,0),(0,1) against (.8,.6),(.6,.8)."""
    first, second = torch.eye(2), torch.tensor([[0.8, 0.6], [0.6, 0.8]])
    losses = sim_cse(first, second, torch.arange(2), temperature=0.05)
    assert losses.tolist() == pytest.approx([0.018149928] * 2, abs=1e-6)


def test_matches_the_formula() -> None:
    first, second = views()
    logits = (first @ second.T).numpy() / 0.05
    expected = -(np.diag(log_softmax(logits, axis=1)) + np.diag(log_softmax(logits, axis=0))) / 2
    losses = sim_cse(first, second, torch.arange(6), temperature=0.05)
    np.testing.assert_allclose(losses, expected, rtol=1e-9, atol=1e-14)


def test_copies_of_a_text_are_no_negatives() -> None:
    first, second = views()
    ids = torch.tensor([0, 1, 2, 3, 4, 0])
    with_copy = sim_cse(first, second, ids, temperature=0.05)
    without = sim_cse(first[:5], second[:5], ids[:5], temperature=0.05)
    torch.testing.assert_close(with_copy[0], without[0])
    assert (with_copy[1:5] > without[1:5]).all()  # for the others it is a negative like any


def test_gradient() -> None:
    first, second = (side.requires_grad_() for side in views())
    ids = torch.tensor([0, 1, 2, 3, 4, 0])
    assert torch.autograd.gradcheck(lambda a, b: sim_cse(a, b, ids, temperature=0.5), (first, second))
