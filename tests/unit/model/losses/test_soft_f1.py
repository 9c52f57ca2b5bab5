"""Soft F1 against scikit-learn where probabilities are decisions, and its weights against its own derivative."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from model.losses.soft_f1 import soft_f1_loss, soft_f1_weights


def random_batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    probabilities, labels = rng.uniform(0, 1, (20, 4)), rng.random((20, 4)) < 0.3
    return torch.from_numpy(probabilities), torch.from_numpy(labels)


@given(seed=st.integers(0, 2**32 - 1), rate=st.floats(0, 1))
def test_hard_decisions_give_the_macro_f1_of_scikit_learn(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    decisions, labels = rng.random((2, 8, 3)) < rate
    ours = soft_f1_loss(torch.from_numpy(decisions).double(), torch.from_numpy(labels))
    assert ours.item() == pytest.approx(1 - f1_score(labels, decisions, average="macro", zero_division=1.0))


def test_matches_the_formula() -> None:
    probabilities, labels = random_batch()
    p, y = probabilities.numpy(), labels.numpy()
    f1 = [2 * (y[:, v] * p[:, v]).sum() / (y[:, v].sum() + p[:, v].sum()) for v in range(4)]
    assert soft_f1_loss(probabilities, labels).item() == pytest.approx(1 - np.mean(f1))


def test_weights_are_the_derivative_of_f1_without_its_common_factor() -> None:
    """dF1 / dp = (2y - F1) / sum(y + p): of the size of the weights, upwards for positives, down for negatives."""
    probabilities, labels = random_batch()
    probabilities.requires_grad_()
    (gradient,) = torch.autograd.grad(4 * (1 - soft_f1_loss(probabilities, labels)), probabilities)
    claimed = (labels + probabilities).sum(dim=0)
    signs = torch.where(labels, 1.0, -1.0).double()
    weights = soft_f1_weights(probabilities, labels)
    torch.testing.assert_close(weights, signs * gradient * claimed)
    assert not weights.requires_grad


def test_weights_are_equal_at_a_perfect_f1() -> None:
    _, labels = random_batch()
    assert (soft_f1_weights(labels.double(), labels) == 1).all()


def test_negatives_of_a_label_without_positives_weigh_nothing() -> None:
    labels = torch.tensor([[1, 0], [0, 0]])
    weights = soft_f1_weights(torch.full((2, 2), 0.5), labels)
    assert weights[:, 1].tolist() == [0, 0]
    assert weights[0, 0].item() == pytest.approx(2 - 0.5)


def test_unknown_entries_are_left_out_even_if_they_hold_no_number() -> None:
    probabilities, labels = random_batch()
    known = torch.ones(20, 4, dtype=torch.bool)
    known[12:] = False
    values = labels.double()
    values[12:] = float("nan")
    torch.testing.assert_close(
        soft_f1_loss(probabilities, values, known), soft_f1_loss(probabilities[:12], labels[:12])
    )
    weights = soft_f1_weights(probabilities, values, known)
    torch.testing.assert_close(weights[:12], soft_f1_weights(probabilities[:12], labels[:12]))
    assert (weights[12:] == 0).all()


def test_gradient() -> None:
    probabilities, labels = random_batch()
    assert torch.autograd.gradcheck(lambda p: soft_f1_loss(p, labels), probabilities.requires_grad_())


def test_empty_labels_have_finite_gradients() -> None:
    probabilities = torch.zeros(3, 2, requires_grad=True)
    loss = soft_f1_loss(probabilities, torch.zeros(3, 2))
    loss.backward()
    assert loss.item() == 0
    assert probabilities.grad is not None
    assert (probabilities.grad == 0).all()
