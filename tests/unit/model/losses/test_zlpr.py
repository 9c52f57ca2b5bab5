"""ZLPR: published values, the formula, its minimum, and scores far beyond what exp can hold."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.losses.binary_cross_entropy import binary_cross_entropy
from model.losses.zlpr import zlpr

SCORES = torch.tensor([[2, -1, 0.5, -3]], dtype=torch.float64)


def naive(scores: np.ndarray, labels: np.ndarray) -> float:
    up = sum(t * math.exp(-s) for s, t in zip(scores, labels, strict=True))
    down = sum((1 - t) * math.exp(s) for s, t in zip(scores, labels, strict=True))
    return math.log1p(up) + math.log1p(down)


def test_reference_values() -> None:
    assert zlpr(SCORES, torch.tensor([[1, 0, 1, 0]])).item() == pytest.approx(0.903969136, abs=1e-9)
    soft = torch.tensor([[0.9, 0.1, 0.8, 0]], dtype=torch.float64)
    assert zlpr(SCORES, soft).item() == pytest.approx(1.526557793, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), hard=st.booleans(), n_labels=st.integers(1, 12))
def test_matches_the_formula_over_the_known_labels(seed: int, hard: bool, n_labels: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels, known = rng.normal(0, 5, (4, n_labels)), rng.random((4, n_labels)), rng.random((4, n_labels)) < 0.7
    labels = np.round(labels) if hard else labels
    ours = zlpr(torch.from_numpy(scores), torch.from_numpy(labels), torch.from_numpy(known))
    np.testing.assert_allclose(
        ours,
        [naive(s[k], t[k]) for s, t, k in zip(scores, labels, known, strict=True)],
        rtol=1e-10,
        atol=1e-14,  # the naive log(1 + x) has no more of a small x
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_soft_label_is_met_at_half_its_log_odds(share: float) -> None:
    """One label: the gradient is zero at s = ln(t / (1 - t)) / 2, so that a score stands for sigmoid(2 s)."""
    score = torch.tensor([[math.log(share / (1 - share)) / 2]], dtype=torch.float64, requires_grad=True)
    zlpr(score, torch.full((1, 1), share, dtype=torch.float64)).backward()
    assert score.grad is not None
    assert score.grad.item() == pytest.approx(0, abs=1e-12)


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=6))
def test_several_soft_labels_have_their_minimum_there_too(scores: list[float]) -> None:
    s = torch.tensor([scores], dtype=torch.float64, requires_grad=True)
    shares = torch.sigmoid(2 * s).detach()
    zlpr(s, shares).backward()
    assert s.grad is not None
    np.testing.assert_allclose(s.grad, 0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_large_scores_stay_finite(dtype: torch.dtype) -> None:
    scores = torch.tensor([[1e4, -1e4, -1e4], [-1e4, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    labels = torch.tensor([[1, 0, 0], [1, 0, 0]])
    losses = zlpr(scores, labels)
    np.testing.assert_allclose(losses.detach(), [0, 2e4 + math.log(2)], rtol=1e-6)
    losses.sum().backward()
    assert scores.grad is not None
    # neighbours of 1e4 are 1e-3 apart in float32, which is the error of an exponent
    np.testing.assert_allclose(scores.grad.float(), [[0, 0, 0], [-1, 0.5, 0.5]], rtol=1e-3)


def test_each_side_pulls_with_less_than_1_however_many_labels() -> None:
    scores = torch.zeros(1, 1000, dtype=torch.float64, requires_grad=True)
    labels = torch.zeros(1, 1000)
    labels[0, :3] = 1
    loss = zlpr(scores, labels)
    loss.backward()
    assert scores.grad is not None
    assert loss.item() == pytest.approx(math.log(4) + math.log(998), abs=1e-9)
    assert scores.grad[0, :3].sum().item() == pytest.approx(-0.75)
    assert scores.grad[0, 3:].sum().item() == pytest.approx(0.999, abs=1e-4)
    assert binary_cross_entropy(scores, labels).item() == pytest.approx(693, abs=0.2)


def test_unknown_labels_have_no_gradient_and_may_hold_no_number() -> None:
    scores = torch.tensor([[0.5, 9.0, -1.0]], requires_grad=True)
    labels = torch.tensor([[1.0, float("nan"), 0.0]])
    known = torch.tensor([[True, False, True]])
    loss = zlpr(scores, labels, known)
    loss.sum().backward()
    assert loss.item() == pytest.approx(naive(np.array([0.5, -1.0]), np.array([1, 0])), rel=1e-6)
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("held", [0.0, 1.0])
def test_sentences_with_no_label_or_all_of_them_are_fine(held: float) -> None:
    loss = zlpr(torch.zeros(1, 5), torch.full((1, 5), held))
    assert loss.item() == pytest.approx(math.log(6), rel=1e-6)


def test_gradient() -> None:
    labels = torch.tensor([[0.9, 0.1, 1.0, 0.0]], dtype=torch.float64)
    known = torch.tensor([[True, True, True, False]])
    assert torch.autograd.gradcheck(lambda s: zlpr(s, labels, known), SCORES.clone().requires_grad_())
