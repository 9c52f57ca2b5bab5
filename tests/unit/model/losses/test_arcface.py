"""ArcFace against its published value, the angles written out, and a reference library."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch.nn.functional import cross_entropy, normalize

from model.losses.arcface import arcface_logits

FIRST = torch.tensor([0])


def true_logits(cosines: np.ndarray, margin: float) -> np.ndarray:
    labels = torch.zeros(len(cosines), dtype=torch.int64)
    return arcface_logits(torch.from_numpy(cosines)[:, None], labels, margin=margin, scale=1)[:, 0].numpy()


def test_reference_value() -> None:
    cosines = torch.tensor([[0.8, 0.1, -0.2, 0.55]], dtype=torch.float64)
    logits = arcface_logits(cosines, FIRST, margin=0.5, scale=30)
    assert logits[0, 0].item() == pytest.approx(30 * 0.414410726, abs=1e-7)
    assert cross_entropy(logits, FIRST).item() == pytest.approx(4.084651796, abs=1e-9)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.5])
def test_adds_to_the_angle_until_it_would_pass_pi(margin: float) -> None:
    angles = np.linspace(0, np.pi, 500)
    expected = np.where(angles + margin < np.pi, np.cos(angles + margin), np.cos(angles) - margin * np.sin(margin))
    np.testing.assert_allclose(true_logits(np.cos(angles), margin), expected, atol=1e-7)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.5])
def test_falls_with_the_angle_all_the_way(margin: float) -> None:
    values = true_logits(np.cos(np.linspace(0, np.pi, 5000)), margin)
    assert (np.diff(values) < 0).all()
    naive = np.cos(np.linspace(0, np.pi, 5000) + margin)
    assert not (np.diff(naive) < 0).all()


@pytest.mark.parametrize("spread", [1.0, -1.0])
def test_matches_pytorch_metric_learning(spread: float) -> None:
    """Their margin is in degrees. With -1 the embeddings point away from their class vectors, past pi - m."""
    torch.manual_seed(0)
    theirs = ArcFaceLoss(num_classes=6, embedding_size=8, margin=np.degrees(0.5), scale=30)
    labels = torch.randint(0, 6, (20,))
    class_vectors = normalize(theirs.W.detach(), dim=0)
    embeddings = normalize(spread * class_vectors.T[labels] + 0.1 * torch.randn(20, 8), dim=1)
    cosines = embeddings @ class_vectors
    logits = arcface_logits(cosines, labels, margin=0.5, scale=30)
    torch.testing.assert_close(cross_entropy(logits, labels), theirs(embeddings, labels).detach(), atol=1e-4, rtol=1e-4)


def test_gradient_next_to_the_edge_is_that_of_the_formula() -> None:
    """d cos(theta + m) / d cos(theta) = sin(theta + m) / sin(theta), 1,500 at a hundredth of a degree."""
    angle = 3e-4
    cosines = torch.tensor([[np.cos(angle)]], dtype=torch.float64, requires_grad=True)
    arcface_logits(cosines, FIRST, margin=0.5, scale=1).sum().backward()
    assert cosines.grad is not None
    assert cosines.grad.item() == pytest.approx(np.sin(angle + 0.5) / np.sin(angle), rel=1e-6)
