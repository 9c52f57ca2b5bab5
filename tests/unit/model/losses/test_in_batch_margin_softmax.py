"""In-batch margin softmax against a published value, the formula per pair, and a reference library."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss
from torch.nn.functional import normalize

from model.losses.in_batch_margin_softmax import in_batch_margin_softmax


def test_reference_value() -> None:
    """One direction in methods 12; these cosines are the same in both."""
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    second = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
    losses = in_batch_margin_softmax(first, second, torch.tensor([0, 1]), temperature=0.05, margin=0.0)
    assert losses.mean().item() == pytest.approx(0.018149928, abs=1e-6)


@given(seed=st.integers(0, 2**32 - 1), margin=st.floats(0, 0.5))
def test_matches_the_formula_per_pair(seed: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.standard_normal((2, 6, 5)))
    groups = rng.integers(0, 4, 6)
    ours = in_batch_margin_softmax(
        torch.from_numpy(first), torch.from_numpy(second), torch.from_numpy(groups), temperature=0.1, margin=margin
    )
    cosines = first @ second.T
    for i in range(6):
        rivals = [j for j in range(6) if groups[j] != groups[i]]
        pair = cosines[i, i] - margin
        forth = math.log1p(sum(math.exp((cosines[i, j] - pair) / 0.1) for j in rivals))
        back = math.log1p(sum(math.exp((cosines[j, i] - pair) / 0.1) for j in rivals))
        assert math.isclose(ours[i].item(), (forth + back) / 2, rel_tol=1e-9, abs_tol=1e-9)


def test_matches_pytorch_metric_learning() -> None:
    """NT-Xent against a reference set asks in one direction; the mean of both is ours."""
    torch.manual_seed(0)
    first, second = normalize(torch.randn(2, 7, 5, dtype=torch.float64), dim=2)
    groups = torch.arange(7)
    theirs = NTXentLoss(temperature=0.05)
    others = groups.clone()  # the same tensor would mean the same sentences to it
    expected = (theirs(first, groups, None, second, others) + theirs(second, groups, None, first, others)) / 2
    ours = in_batch_margin_softmax(first, second, groups, temperature=0.05, margin=0)
    torch.testing.assert_close(ours.mean(), expected)


def test_sentences_of_one_group_are_not_pushed_apart() -> None:
    torch.manual_seed(0)
    first, second = (normalize(side, dim=1).requires_grad_() for side in torch.randn(2, 3, 4))
    in_batch_margin_softmax(first, second, torch.tensor([7, 7, 7]), temperature=0.05, margin=0.2).sum().backward()
    for side in (first, second):
        assert side.grad is not None
        assert side.grad.abs().max().item() == 0


def test_gradient() -> None:
    torch.manual_seed(0)
    first, second = (side.clone().requires_grad_() for side in torch.randn(2, 4, 3, dtype=torch.float64))
    groups = torch.tensor([0, 1, 0, 2])
    assert torch.autograd.gradcheck(
        lambda a, b: in_batch_margin_softmax(a, b, groups, temperature=0.5, margin=0.2), (first, second)
    )
