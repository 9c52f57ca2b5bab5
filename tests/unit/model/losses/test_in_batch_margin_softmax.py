"""In-batch margin softmax per pair; the mean over pairs is tested in test_losses.py."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss
from torch.nn.functional import normalize

from model.losses.in_batch_margin_softmax import InBatchMarginSoftmaxLoss, in_batch_margin_softmax


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


def test_the_module_is_the_mean() -> None:
    torch.manual_seed(0)
    first, second = normalize(torch.randn(2, 7, 5), dim=2)
    groups = torch.tensor([0, 1, 2, 1, 3, 0, 4])
    module = InBatchMarginSoftmaxLoss(temperature=0.05, margin=0.2)
    ours = in_batch_margin_softmax(first, second, groups, temperature=0.05, margin=0.2)
    torch.testing.assert_close(module(first, second, groups), ours.mean())


def test_gradient() -> None:
    torch.manual_seed(0)
    first, second = (side.clone().requires_grad_() for side in torch.randn(2, 4, 3, dtype=torch.float64))
    groups = torch.tensor([0, 1, 0, 2])
    assert torch.autograd.gradcheck(
        lambda a, b: in_batch_margin_softmax(a, b, groups, temperature=0.5, margin=0.2), (first, second)
    )
