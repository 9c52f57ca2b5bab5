"""What all margin losses have in common."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.losses.a_softmax import a_softmax_logits
from model.losses.am_softmax import am_softmax_logits
from model.losses.arcface import arcface_logits
from model.losses.normalised_softmax import normalised_softmax_logits
from model.losses.simpler_a_softmax import simpler_a_softmax_logits
from model.losses.target_margin import MarginLogits

KINDS: list[tuple[MarginLogits, float]] = [
    (am_softmax_logits, 0.35),
    (arcface_logits, 0.5),
    (a_softmax_logits, 4),
    (simpler_a_softmax_logits, 4),
    (normalised_softmax_logits, 0.35),
]
with_each_kind = pytest.mark.parametrize(("logits_of", "margin"), KINDS)


def random_cosines() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.uniform(-1, 1, (12, 7))), torch.from_numpy(rng.integers(0, 7, 12))


@with_each_kind
def test_strength_0_is_the_plain_scaled_softmax(logits_of: MarginLogits, margin: float) -> None:
    cosines, labels = random_cosines()
    ours = logits_of(cosines, labels, margin=margin, scale=30, strength=0.0)
    np.testing.assert_allclose(ours, 30 * cosines, atol=1e-12)


@with_each_kind
@given(strength=st.floats(0, 1))
def test_strength_blends_the_true_logit_alone(logits_of: MarginLogits, margin: float, strength: float) -> None:
    cosines, labels = random_cosines()
    full = logits_of(cosines, labels, margin=margin, scale=30).numpy()
    ours = logits_of(cosines, labels, margin=margin, scale=30, strength=torch.tensor(strength, dtype=torch.float64))
    np.testing.assert_allclose(ours, (1 - strength) * 30 * cosines.numpy() + strength * full, atol=1e-9)


@with_each_kind
def test_wrong_columns_stay_as_they_are(logits_of: MarginLogits, margin: float) -> None:
    cosines, labels = random_cosines()
    wrong = np.arange(7) != labels.numpy()[:, None]
    ours = logits_of(cosines, labels, margin=margin, scale=30).numpy()
    np.testing.assert_allclose(ours[wrong], 30 * cosines.numpy()[wrong], atol=1e-12)


@with_each_kind
def test_the_true_logit_is_never_raised(logits_of: MarginLogits, margin: float) -> None:
    cosines = torch.linspace(-1, 1, 2001, dtype=torch.float64)[:, None]
    labels = torch.zeros(2001, dtype=torch.int64)
    assert (logits_of(cosines, labels, margin=margin, scale=1) <= cosines + 1e-12).all()


@with_each_kind
@pytest.mark.parametrize("edge", [-1.0, 1.0, 1.0 + 1e-6, -1.0 - 1e-6])
def test_edges_give_finite_logits_and_gradients(logits_of: MarginLogits, margin: float, edge: float) -> None:
    """A cosine of two float32 vectors may pass 1 by a rounding."""
    cosines = torch.tensor([[edge, 0.2]], requires_grad=True)
    logits = logits_of(cosines, torch.tensor([0]), margin=margin, scale=64)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0])).backward()
    assert logits.isfinite().all()
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()


@with_each_kind
def test_gradients(logits_of: MarginLogits, margin: float) -> None:
    cosines, labels = random_cosines()
    cosines = (0.99 * cosines).requires_grad_()
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda c, s: logits_of(c, labels, margin=margin, scale=s, strength=0.7), (cosines, scale)
    )


@with_each_kind
def test_the_cosines_are_left_as_they_were(logits_of: MarginLogits, margin: float) -> None:
    cosines, labels = random_cosines()
    before = cosines.clone()
    logits_of(cosines, labels, margin=margin, scale=1)
    assert torch.equal(cosines, before)
