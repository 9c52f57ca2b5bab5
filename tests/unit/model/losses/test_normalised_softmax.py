"""Normalised softmax against the published value and a reference library."""

import pytest
import torch
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
from torch.nn.functional import cross_entropy, normalize

from model.losses.normalised_softmax import normalised_softmax_logits


def test_reference_value() -> None:
    cosines, first = torch.tensor([[0.8, 0.1, -0.2, 0.55]], dtype=torch.float64), torch.tensor([0])
    logits = normalised_softmax_logits(cosines, first, margin=0.35, scale=30)
    assert cross_entropy(logits, first).item() == pytest.approx(0.000552932, abs=1e-9)


def test_matches_pytorch_metric_learning() -> None:
    torch.manual_seed(0)
    theirs = NormalizedSoftmaxLoss(num_classes=11, embedding_size=8, temperature=1 / 30)
    embeddings, labels = normalize(torch.randn(20, 8), dim=1), torch.randint(0, 11, (20,))
    cosines = embeddings @ normalize(theirs.W.detach(), dim=0)
    logits = normalised_softmax_logits(cosines, labels, margin=0, scale=30)
    torch.testing.assert_close(cross_entropy(logits, labels), theirs(embeddings, labels).detach())
