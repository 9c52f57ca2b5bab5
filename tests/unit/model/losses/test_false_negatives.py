"""False-negative filtering against a softmax over the columns that remain."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from model.losses.am_softmax import am_softmax_logits
from model.losses.false_negatives import filter_false_negatives


@given(seed=st.integers(0, 2**32 - 1), threshold=st.floats(-1, 1))
def test_matches_a_softmax_over_the_remaining_columns(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    cosines, labels = rng.uniform(-1, 1, (5, 6)), rng.integers(0, 6, 5)
    plain, indices = torch.from_numpy(cosines), torch.from_numpy(labels)
    logits = filter_false_negatives(am_softmax_logits(plain, indices, margin=0.35, scale=30), plain, indices, threshold)
    losses = cross_entropy(logits, indices, reduction="none")
    for row, label, loss in zip(cosines, labels, losses, strict=True):
        rivals = [row[i] for i in range(6) if i != label and row[i] <= threshold]
        expected = math.log1p(sum(math.exp(30 * (rival + 0.35 - row[label])) for rival in rivals))
        assert math.isclose(loss.item(), expected, rel_tol=1e-9, abs_tol=1e-9)


def test_the_true_column_stays_however_near() -> None:
    cosines = torch.tensor([[0.99, 0.98, 0.1]], dtype=torch.float64)
    logits = filter_false_negatives(30 * cosines, cosines, torch.tensor([0]), 0.5)
    assert logits.tolist() == [[30 * 0.99, -math.inf, 30 * 0.1]]


def test_gradients_are_finite_and_zero_for_filtered_columns() -> None:
    cosines = torch.tensor([[0.2, 0.9, 0.1], [0.9, 0.95, 0.3]], requires_grad=True)
    labels = torch.tensor([0, 2])
    logits = filter_false_negatives(30 * cosines, cosines, labels, 0.8)
    cross_entropy(logits, labels).backward()
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()
    assert cosines.grad[0, 1] == 0
    assert cosines.grad[0, 0] < 0 < cosines.grad[0, 2]
    assert (cosines.grad[1] == 0).all()  # nothing is left to tell it from


def test_zeroing_would_leave_a_rival_in_the_sum() -> None:
    """What insightface does, for comparison: after zeroing, the loss still counts one column at a right angle."""
    cosines, label = torch.tensor([[0.05, 0.9]]), torch.tensor([0])
    filtered = filter_false_negatives(30 * cosines, cosines, label, 0.8)
    zeroed = 30 * torch.where(cosines > 0.8, 0.0, cosines)
    assert cross_entropy(filtered, label).item() == 0
    assert cross_entropy(zeroed, label).item() > 0.2
