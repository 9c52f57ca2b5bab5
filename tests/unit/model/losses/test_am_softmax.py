"""AM-Softmax against published values, the formula, a reference library, and where float32 gives out."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import CosFaceLoss
from scipy.special import logsumexp
from torch.nn.functional import cross_entropy, normalize

from model.heads.class_head import ClassHead
from model.losses.am_softmax import am_softmax_logits

COSINES = torch.tensor([[0.8, 0.1, -0.2, 0.55]], dtype=torch.float64)
FIRST = torch.tensor([0])


@pytest.mark.parametrize(
    ("scale", "margin", "expected"), [(30, 0.0, 0.000552932), (30, 0.35, 3.048588658), (64, 0.35, 6.401660178)]
)
def test_reference_values(scale: float, margin: float, expected: float) -> None:
    logits = am_softmax_logits(COSINES, FIRST, margin=margin, scale=scale)
    assert cross_entropy(logits, FIRST).item() == pytest.approx(expected, abs=1e-9)


def test_matches_the_formula_per_sentence() -> None:
    rng = np.random.default_rng(0)
    cosines, labels = rng.uniform(-1, 1, (16, 7)), rng.integers(0, 7, 16)
    logits = am_softmax_logits(torch.from_numpy(cosines), torch.from_numpy(labels), margin=0.35, scale=30)
    losses = cross_entropy(logits, torch.from_numpy(labels), reduction="none")
    for row, label, loss in zip(cosines, labels, losses, strict=True):
        rivals = [math.exp(30 * (row[i] + 0.35 - row[label])) for i in range(7) if i != label]
        assert loss.item() == pytest.approx(math.log1p(sum(rivals)), abs=1e-9)


def test_over_class_vectors_matches_pytorch_metric_learning() -> None:
    torch.manual_seed(0)
    head = ClassHead(11, 8)
    theirs = CosFaceLoss(num_classes=11, embedding_size=8, margin=0.35, scale=30)
    with torch.no_grad():
        theirs.W.copy_(head.weight.T)
    embeddings, labels = normalize(torch.randn(20, 8), dim=1), torch.randint(0, 11, (20,))
    ours = cross_entropy(am_softmax_logits(head.cosines(embeddings), labels, margin=0.35, scale=30), labels)
    torch.testing.assert_close(ours, theirs(embeddings, labels), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("scale", "margin"), [(30.0, 0.35), (30.0, 0.5), (64.0, 0.35), (64.0, 0.5)])
def test_exact_where_subtracting_from_a_logsumexp_fails(scale: float, margin: float) -> None:
    """90,000 random centres of width 128 and a true cosine of 1, in float32."""
    rng = np.random.default_rng(0)
    cosines = rng.standard_normal((1, 90_000)) / 128**0.5
    cosines[0, 0] = 1.0
    cosines32 = torch.from_numpy(cosines).float()
    logits = am_softmax_logits(cosines32, FIRST, margin=margin, scale=scale)
    rest = logsumexp(scale * cosines32[0, 1:].double().numpy())
    exact = np.logaddexp(0, rest - scale * (1 - margin))
    # float32 sums of 90,000 terms are good to 2e-4
    assert cross_entropy(logits, FIRST).item() == pytest.approx(exact, abs=2e-4)

    everything = torch.cat([scale * cosines32, scale * (cosines32[:, :1] - margin)], dim=1).logsumexp(dim=1)
    unsafe = everything + torch.log(1 - torch.exp(scale * cosines32[:, 0] - everything)) - scale * (1 - margin)
    assert not abs(unsafe.item() - exact) < 0.02


def test_published_value_at_90000_centres() -> None:
    """0.694882 for s = 30, m = 0.5 and a true cosine of 1 is ln(1 + mass) of rivals whose logsumexp is 15.0035."""
    rivals = torch.zeros(1, 89_999, dtype=torch.float64)  # float32 sums of equal terms differ by 4e-4 among processors
    mass = math.expm1(0.694882) * math.exp(15)
    cosines = torch.cat([torch.ones(1, 1), rivals + math.log(mass / 89_999) / 30], dim=1)
    logits = am_softmax_logits(cosines, FIRST, margin=0.5, scale=30)
    assert cross_entropy(logits, FIRST).item() == pytest.approx(0.694882, abs=1e-6)


def test_initial_loss_of_unrelated_vectors() -> None:
    """At right angles to everything the loss is ln(1 + (C - 1) e^(s m)): about 21.9 for 90,000 groups, not a fault."""
    logits = am_softmax_logits(torch.zeros(1, 90_000), FIRST, margin=0.35, scale=30)
    assert cross_entropy(logits, FIRST).item() == pytest.approx(math.log1p(89_999 * math.exp(10.5)), rel=1e-6)
