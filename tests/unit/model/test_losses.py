"""Losses against published vectors, the formula written out in NumPy, a reference library, and float64 gradients."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import CosFaceLoss
from torch.nn.functional import normalize

from model.losses.am_softmax import AMSoftmaxLoss, am_softmax
from model.losses.in_batch_margin_softmax import InBatchMarginSoftmaxLoss

COSINES = torch.tensor([[0.8, 0.1, -0.2, 0.55]], dtype=torch.float64)
TARGET = torch.tensor([0])


def naive_am_softmax(cosines: np.ndarray, labels: np.ndarray, margin: float, scale: float) -> float:
    losses = []
    for row, label in zip(cosines, labels, strict=True):
        others = sum(np.exp(scale * (row[i] + margin - row[label])) for i in range(len(row)) if i != label)
        losses.append(np.log1p(others))
    return float(np.mean(losses))


@pytest.mark.parametrize(
    ("scale", "margin", "expected"), [(30, 0.0, 0.000552932), (30, 0.35, 3.048588658), (64, 0.35, 6.401660178)]
)
def test_am_softmax_reference_values(scale: float, margin: float, expected: float) -> None:
    assert am_softmax(COSINES, TARGET, margin=margin, scale=scale).item() == pytest.approx(expected, abs=1e-9)


def test_am_softmax_matches_the_formula_on_random_batches() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, (16, 7))
    labels = rng.integers(0, 7, 16)
    ours = am_softmax(torch.from_numpy(cosines), torch.from_numpy(labels), margin=0.35, scale=30)
    assert ours.item() == pytest.approx(naive_am_softmax(cosines, labels, 0.35, 30), abs=1e-9)


def test_am_softmax_matches_pytorch_metric_learning() -> None:
    torch.manual_seed(0)
    ours = AMSoftmaxLoss(11, 8, margin=0.35, scale=30)
    theirs = CosFaceLoss(num_classes=11, embedding_size=8, margin=0.35, scale=30)
    with torch.no_grad():
        theirs.W.copy_(ours.weight.T)
    embeddings = normalize(torch.randn(20, 8), dim=1)
    labels = torch.randint(0, 11, (20,))
    torch.testing.assert_close(ours(embeddings, labels), theirs(embeddings, labels), atol=1e-5, rtol=1e-5)


def test_am_softmax_is_finite_where_the_subtracting_form_is_not() -> None:
    """methods: float32, s = 30, m = 0.5, target cosine 1, 90,000 random centres: the unsafe trick gives -inf."""
    generator = torch.Generator().manual_seed(0)
    cosines = torch.randn(1, 90_000, generator=generator) / 128**0.5
    cosines[0, 0] = 1.0
    loss = am_softmax(cosines, TARGET, margin=0.5, scale=30).item()
    exact = naive_am_softmax(cosines.double().numpy(), np.array([0]), 0.5, 30)
    assert loss == pytest.approx(exact, rel=1e-4)


def test_am_softmax_gradient() -> None:
    loss = AMSoftmaxLoss(5, 4, margin=0.35, scale=30).double()
    embeddings = normalize(torch.randn(3, 4, dtype=torch.float64), dim=1).requires_grad_()
    labels = torch.tensor([0, 3, 4])
    assert torch.autograd.gradcheck(
        lambda z, w: am_softmax(z @ normalize(w, dim=1).T, labels, margin=0.35, scale=30), (embeddings, loss.weight)
    )


def test_in_batch_softmax_reference_value() -> None:
    """methods: MNRL, s = 20, a = (1,0),(0,1), p = (.8,.6),(.6,.8); one-sided there, symmetric by construction here."""
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    second = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
    loss = InBatchMarginSoftmaxLoss(temperature=0.05, margin=0.0)
    assert loss(first, second, torch.tensor([0, 1])).item() == pytest.approx(0.018149928, abs=1e-6)


def test_in_batch_softmax_matches_the_formula_with_margin_and_mask() -> None:
    rng = np.random.default_rng(1)
    first, second = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.standard_normal((2, 6, 5)))
    groups = np.array([0, 1, 2, 1, 3, 0])
    cosines = first @ second.T
    losses = []
    for matrix in (cosines, cosines.T):
        for i in range(6):
            rivals = [j for j in range(6) if groups[j] != groups[i]]
            losses.append(np.log1p(sum(np.exp((matrix[i, j] - matrix[i, i] + 0.2) / 0.05) for j in rivals)))
    loss = InBatchMarginSoftmaxLoss(temperature=0.05, margin=0.2)
    ours = loss(torch.from_numpy(first), torch.from_numpy(second), torch.from_numpy(groups))
    assert ours.item() == pytest.approx(np.mean(losses), abs=1e-5)


def test_in_batch_softmax_gradient_does_not_push_group_mates_apart() -> None:
    first = normalize(torch.randn(3, 4), dim=1).requires_grad_()
    second = normalize(torch.randn(3, 4), dim=1)
    InBatchMarginSoftmaxLoss(temperature=0.05, margin=0.2)(first, second, torch.tensor([7, 7, 7])).backward()
    assert first.grad is not None
    assert first.grad.abs().max().item() == 0
