"""Logit adjustment: the published value, and what it is equal to."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from model.losses.logit_adjustment import adjust_in_loss, log_prior

LOGITS = torch.tensor([[1, 2, 0.5]], dtype=torch.float64)
PRIOR = log_prior(np.array([7, 2, 1]))
THIRD = torch.tensor([2])


def test_reference_values() -> None:
    assert cross_entropy(LOGITS, THIRD).item() == pytest.approx(1.964368784, abs=1e-9)
    assert cross_entropy(adjust_in_loss(LOGITS, PRIOR), THIRD).item() == pytest.approx(3.068258823, abs=1e-7)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_loss_is_that_of_the_odds_written_out(tau: float) -> None:
    """ln(1 + sum over i != t of (p(i) / p(t))^tau e^(f_i - f_t))."""
    rng = np.random.default_rng(0)
    logits, counts, labels = rng.normal(0, 2, (8, 5)), rng.integers(1, 100, 5), rng.integers(0, 5, 8)
    ours = adjust_in_loss(torch.from_numpy(logits), log_prior(torch.from_numpy(counts), tau=tau))
    losses = cross_entropy(ours, torch.from_numpy(labels), reduction="none")
    for row, t, loss in zip(logits, labels, losses, strict=True):
        odds = [(counts[i] / counts[t]) ** tau * np.exp(row[i] - row[t]) for i in range(5) if i != t]
        assert loss.item() == pytest.approx(np.log1p(sum(odds)), rel=1e-5)


def test_prior_is_the_frequency() -> None:
    np.testing.assert_allclose(PRIOR.exp(), [0.7, 0.2, 0.1], rtol=1e-6)
    assert PRIOR.dtype == torch.float32


def test_a_group_without_sentences_has_no_prior() -> None:
    with pytest.raises(ValueError, match="group 1 "):
        log_prior(np.array([3, 0, 2]))


def test_equal_logits_cost_a_rare_group_more() -> None:
    equal = torch.zeros(2, 3)
    losses = cross_entropy(adjust_in_loss(equal, PRIOR), torch.tensor([0, 2]), reduction="none")
    assert losses[1] > losses[0]


def test_is_a_cosine_margin_against_each_rival() -> None:
    """Beside s cos: a margin of (tau / s) ln(p(i) / p(t)); 0.077 at s = 30 against a group ten times as large."""
    prior, scale = log_prior(np.array([10, 1])), 30
    assert ((prior[0] - prior[1]) / scale).item() == pytest.approx(0.077, abs=5e-4)
    cosines = torch.tensor([[0.5, 0.6]])
    margined = scale * (cosines + torch.tensor([[(prior[0] - prior[1]).item() / scale, 0.0]]))
    label = torch.tensor([1])
    torch.testing.assert_close(
        cross_entropy(adjust_in_loss(scale * cosines, prior), label), cross_entropy(margined, label)
    )


def test_some_columns_take_their_part_of_the_prior() -> None:
    columns = torch.tensor([2, 0])
    ours = adjust_in_loss(LOGITS[:, columns], PRIOR[columns])
    torch.testing.assert_close(ours, adjust_in_loss(LOGITS, PRIOR)[:, columns])


def test_gradient() -> None:
    assert torch.autograd.gradcheck(lambda x: adjust_in_loss(x, PRIOR), LOGITS.clone().requires_grad_())
