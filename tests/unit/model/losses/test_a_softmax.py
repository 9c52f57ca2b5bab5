"""A-Softmax against its piecewise definition and a reference library."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import SphereFaceLoss
from torch.nn.functional import cross_entropy, normalize

from model.losses.a_softmax import a_softmax_logits, multiply_angle


def psi(angle: float, margin: int) -> float:
    piece = min(int(margin * angle / np.pi), margin - 1)
    return float((-1) ** piece * np.cos(margin * angle) - 2 * piece)


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 5])
def test_matches_the_piecewise_definition(margin: int) -> None:
    angles = np.linspace(0, np.pi, 999)
    labels = torch.zeros(999, dtype=torch.int64)
    ours = a_softmax_logits(torch.from_numpy(np.cos(angles))[:, None], labels, margin=margin, scale=1)[:, 0].numpy()
    np.testing.assert_allclose(ours, [psi(angle, margin) for angle in angles], atol=1e-12)
    assert (np.diff(ours) < 0).all()
    assert ours[0] == pytest.approx(1)
    assert ours[-1] == pytest.approx(1 - 2 * margin)


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # their scipy call on tensors
@pytest.mark.parametrize("margin", [2, 4])
def test_matches_pytorch_metric_learning(margin: int) -> None:
    """Theirs also multiplies by the embedding's length, 1 here."""
    torch.manual_seed(0)
    theirs = SphereFaceLoss(num_classes=6, embedding_size=8, margin=margin, scale=30).double()
    embeddings, labels = normalize(torch.randn(20, 8, dtype=torch.float64), dim=1), torch.randint(0, 6, (20,))
    cosines = embeddings @ normalize(theirs.W.detach().double(), dim=0)
    logits = a_softmax_logits(cosines, labels, margin=margin, scale=30)
    torch.testing.assert_close(cross_entropy(logits, labels), theirs(embeddings, labels).detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("times", [1, 2, 3, 7])
def test_multiply_angle(times: int) -> None:
    angles = np.linspace(0, np.pi, 50)
    np.testing.assert_allclose(
        multiply_angle(torch.from_numpy(np.cos(angles)), times), np.cos(times * angles), atol=1e-12
    )


@pytest.mark.parametrize("margin", [0, 0.35, 2.5])
def test_refuses_what_is_no_whole_margin(margin: float) -> None:
    with pytest.raises(ValueError, match=str(margin)):
        a_softmax_logits(torch.zeros(1, 2), torch.tensor([0]), margin=margin, scale=30)
