"""Binary cross-entropy summed over known labels, against torch and the formula."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from model.losses.binary_cross_entropy import binary_cross_entropy
from model.losses.soft_f1 import soft_f1_weights


def random_batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(0, 3, (7, 4))), torch.from_numpy(rng.random((7, 4)))


@pytest.mark.parametrize("positive_weight", [1.0, 3.0, torch.tensor([1.0, 2.0, 0.5, 4.0], dtype=torch.float64)])
def test_matches_torch(positive_weight: float | torch.Tensor) -> None:
    scores, labels = random_batch()
    theirs = binary_cross_entropy_with_logits(
        scores, labels, pos_weight=torch.as_tensor(positive_weight, dtype=torch.float64), reduction="none"
    )
    ours = binary_cross_entropy(scores, labels, positive_weight=positive_weight)
    torch.testing.assert_close(ours, theirs.sum(dim=1))


def test_matches_the_formula_over_known_labels_with_weights() -> None:
    scores, labels = random_batch()
    known, weights = torch.rand(7, 4) < 0.6, torch.rand(7, 4, dtype=torch.float64)
    p, t = 1 / (1 + np.exp(-scores.numpy())), labels.numpy()
    terms = -weights.numpy() * (t * np.log(p) + (1 - t) * np.log(1 - p))
    expected = np.where(known.numpy(), terms, 0).sum(axis=1)
    np.testing.assert_allclose(binary_cross_entropy(scores, labels, known, weights=weights), expected, rtol=1e-9)


def test_unknown_labels_have_no_gradient_and_may_hold_no_number() -> None:
    scores = torch.tensor([[0.5, 9.0]], requires_grad=True)
    loss = binary_cross_entropy(scores, torch.tensor([[1.0, float("nan")]]), torch.tensor([[True, False]]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(np.log1p(np.exp(-0.5)), rel=1e-6)
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0
    assert scores.grad.isfinite().all()


def test_f1_weights_count_rare_positives_up() -> None:
    """Used together: at F1 = 0.25 a positive weighs 1.75 and a negative 0.25."""
    probabilities = torch.full((4, 1), 0.25)
    labels = torch.tensor([[1.0], [0], [0], [0]])
    weights = soft_f1_weights(probabilities, labels)
    f1 = 2 * 0.25 / (1 + 1)
    losses = binary_cross_entropy(torch.logit(probabilities), labels, weights=weights)
    expected = [-(2 - f1) * np.log(0.25), *[-f1 * np.log(0.75)] * 3]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_large_scores_stay_finite() -> None:
    scores = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    losses = binary_cross_entropy(scores, torch.tensor([[1, 0], [1, 0]]))
    losses.sum().backward()
    assert losses.tolist() == [0, 2e4]
    assert scores.grad is not None
    assert scores.grad.tolist() == [[0, 0], [-1, 1]]


def test_gradient() -> None:
    scores, labels = random_batch()
    assert torch.autograd.gradcheck(
        lambda s: binary_cross_entropy(s, labels, positive_weight=2.0), scores.requires_grad_()
    )
