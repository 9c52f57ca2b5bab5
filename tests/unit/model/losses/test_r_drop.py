"""R-Drop against published values and scipy's relative entropy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch.nn.functional import cosine_similarity, cross_entropy

from model.losses.r_drop import embedding_consistency, multi_label_r_drop, r_drop, symmetric_kl

A = torch.tensor([[1, 2, 0.5]], dtype=torch.float64)
B = torch.tensor([[1.5, 1, 0.2]], dtype=torch.float64)


def random_pair() -> tuple[torch.Tensor, torch.Tensor]:
    a, b = np.random.default_rng(0).normal(0, 3, (2, 6, 5))
    return torch.from_numpy(a), torch.from_numpy(b)


def test_reference_values() -> None:
    assert symmetric_kl(A, B).item() == pytest.approx(0.454788753, abs=1e-9)
    target, alpha = torch.tensor([1]), 4
    sum_form = cross_entropy(A, target) + cross_entropy(B, target) + alpha * r_drop(A, B).mean()
    assert sum_form.item() == pytest.approx(2.504719248, abs=1e-9)
    mean_form = (cross_entropy(A, target) + cross_entropy(B, target)) / 2 + alpha / 2 * r_drop(A, B).mean()
    assert mean_form.item() == pytest.approx(1.252359624, abs=1e-9)


def test_matches_scipy_per_sentence() -> None:
    a, b = random_pair()
    p, q = softmax(a.numpy(), axis=1), softmax(b.numpy(), axis=1)
    np.testing.assert_allclose(symmetric_kl(a, b), entropy(p, q, axis=1) + entropy(q, p, axis=1), rtol=1e-9)
    torch.testing.assert_close(r_drop(a, b) * 2, symmetric_kl(a, b))


def test_a_shift_of_all_logits_changes_nothing() -> None:
    a, b = (side.float() for side in random_pair())
    torch.testing.assert_close(symmetric_kl(a + 1000, b), symmetric_kl(a, b), rtol=1e-3, atol=1e-3)


def test_columns_out_on_both_sides_add_nothing() -> None:
    a, b = random_pair()
    out = torch.tensor([False, True, False, False, True])
    masked_a = a.masked_fill(out, -math.inf).requires_grad_()
    masked_b = b.masked_fill(out, -math.inf).requires_grad_()
    ours = symmetric_kl(masked_a, masked_b)
    torch.testing.assert_close(ours, symmetric_kl(a[:, ~out], b[:, ~out]))
    ours.sum().backward()
    for side in (masked_a, masked_b):
        assert side.grad is not None
        assert side.grad.isfinite().all()
        assert (side.grad[:, out] == 0).all()


def test_a_column_out_on_one_side_only_is_infinitely_far() -> None:
    assert symmetric_kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -math.inf]])).item() == math.inf


def test_both_passes_learn() -> None:
    a, b = (side.requires_grad_() for side in random_pair())
    r_drop(a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.abs().min() > 0
    assert b.grad.abs().min() > 0


def test_multi_label_reference_value() -> None:
    scores = torch.tensor([[2.0, -1]], dtype=torch.float64), torch.tensor([[1.0, -0.5]], dtype=torch.float64)
    assert 2 * multi_label_r_drop(*scores).item() == pytest.approx(0.204038123, abs=1e-9)


def test_multi_label_form_is_the_sum_over_binary_questions() -> None:
    a, b = random_pair()
    p, q = 1 / (1 + np.exp(-a.numpy())), 1 / (1 + np.exp(-b.numpy()))
    pair_p, pair_q = np.stack([p, 1 - p]), np.stack([q, 1 - q])
    expected = (entropy(pair_p, pair_q, axis=0) + entropy(pair_q, pair_p, axis=0)).sum(axis=1)
    np.testing.assert_allclose(multi_label_r_drop(a, b), expected / 2, rtol=1e-9)


def test_embedding_consistency_is_1_less_the_cosine() -> None:
    a, b = random_pair()
    expected = [1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(embedding_consistency(a, b), expected, rtol=1e-9)
    torch.testing.assert_close(embedding_consistency(a, a), torch.zeros(6, dtype=torch.float64))
    assert cosine_similarity(a, b).min() < 0  # not only near pairs were looked at


@pytest.mark.parametrize("divergence", [r_drop, multi_label_r_drop, embedding_consistency])
def test_gradients(divergence: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    a, b = (side.requires_grad_() for side in random_pair())
    assert torch.autograd.gradcheck(divergence, (a, b))
