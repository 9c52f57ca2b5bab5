"""The head for several labels: the linear map written out, and where its bias starts."""

import numpy as np
import torch

from model.heads.label_head import LabelHead


def test_scores_are_the_linear_map() -> None:
    head = LabelHead(6, 4, positive_rates=torch.tensor([0.1, 0.5, 0.9, 0.3, 0.2, 0.7]))
    embeddings = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    expected = embeddings.double().numpy() @ head.weights().double().numpy().T + head.bias().double().numpy()
    np.testing.assert_allclose(head(embeddings).detach().numpy(), expected, atol=1e-6)
    assert not head.weights().requires_grad
    assert not head.bias().requires_grad


def test_the_bias_starts_at_the_log_odds_of_each_label() -> None:
    rates = np.array([0.5, 0.01, 0.73])
    head = LabelHead(3, 4, positive_rates=torch.from_numpy(rates))
    np.testing.assert_allclose(head.bias().numpy(), np.log(rates / (1 - rates)), rtol=1e-6)
    zero = torch.zeros(1, 4)
    np.testing.assert_allclose(torch.sigmoid(head(zero))[0].detach().numpy(), rates, rtol=1e-6)
    assert LabelHead(3, 4).bias().tolist() == [0, 0, 0]


def test_a_label_that_never_or_always_occurs_starts_finite() -> None:
    bias = LabelHead(2, 4, positive_rates=torch.tensor([0.0, 1.0])).bias()
    np.testing.assert_allclose(bias.numpy(), [np.log(1e-4 / (1 - 1e-4)), np.log((1 - 1e-4) / 1e-4)], rtol=1e-3)


def test_autocast_and_half_embeddings_keep_float32_scores() -> None:
    head = LabelHead(6, 64)
    embeddings = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(head(embeddings), head(embeddings.clone()), atol=0, rtol=0)
        inside = head(embeddings)
    assert torch.equal(inside, head(embeddings))
    assert head(embeddings.half()).dtype == torch.float32
