"""The simpler A-Softmax: its published value, its formula, and the trap in it."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from model.losses.simpler_a_softmax import simpler_a_softmax_logits

FIRST = torch.tensor([0])


def test_reference_value() -> None:
    cosines = torch.tensor([[0.8, 0.1, -0.2, 0.55]], dtype=torch.float64)
    logits = simpler_a_softmax_logits(cosines, FIRST, margin=4, scale=30)
    assert logits[0, 0].item() == pytest.approx(30 * -0.8432, abs=1e-9)
    assert cross_entropy(logits, FIRST).item() == pytest.approx(41.796001371, abs=1e-9)


@pytest.mark.parametrize("margin", [0.0, 0.35, 4.0])
def test_matches_the_polynomial_whatever_the_margin(margin: float) -> None:
    c = np.linspace(-1, 1, 400)
    ours = simpler_a_softmax_logits(
        torch.from_numpy(c)[:, None], torch.zeros(400, dtype=torch.int64), margin=margin, scale=2
    )
    np.testing.assert_allclose(ours[:, 0], 2 * np.minimum(8 * c**4 - 8 * c**2 + 1, c), atol=1e-12)


@pytest.mark.parametrize(
    ("cosine", "sign"), [(-0.9, 1), (-0.75, -1), (-0.6, 1), (0.2, 1), (0.32, -1), (0.5, -1), (0.7, -1), (0.72, 1)]
)
def test_pushes_away_from_the_own_group_between_45_and_72_degrees(cosine: float, sign: int) -> None:
    """Why it is for reproduction only: where the sign is negative, the loss falls as the true cosine falls."""
    cosines = torch.tensor([[cosine, 0.0]], requires_grad=True)
    simpler_a_softmax_logits(cosines, FIRST, margin=4, scale=30)[0, 0].backward()
    assert cosines.grad is not None
    assert np.sign(cosines.grad[0, 0].item()) == sign
