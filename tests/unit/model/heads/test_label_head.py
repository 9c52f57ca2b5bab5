"""The head for several labels: the linear map written out, in full precision whatever comes in."""

import numpy as np
import torch

from model.heads.label_head import LabelHead


def test_scores_are_the_linear_map() -> None:
    head = LabelHead(6, 4)
    assert head.bias().tolist() == [0] * 6
    with torch.no_grad():
        head.linear.bias.copy_(torch.linspace(-1, 1, 6))
    embeddings = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    expected = embeddings.double().numpy() @ head.weights().double().numpy().T + head.bias().double().numpy()
    np.testing.assert_allclose(head(embeddings).detach().numpy(), expected, atol=1e-6)
    assert not head.weights().requires_grad
    assert not head.bias().requires_grad


def test_autocast_and_half_embeddings_keep_float32_scores() -> None:
    head = LabelHead(6, 64)
    embeddings = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = head(embeddings)
    assert torch.equal(inside, head(embeddings))
    assert head(embeddings.half()).dtype == torch.float32
