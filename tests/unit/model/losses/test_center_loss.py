"""Center loss against distances written out, and its centres under an optimiser."""

import numpy as np
import torch

from model.losses.center_loss import CenterLoss

LABELS = torch.tensor([0, 2, 2, 1])


def test_matches_the_squared_distances() -> None:
    torch.manual_seed(0)
    loss, embeddings = CenterLoss(3, 5), torch.randn(4, 5)
    centres = loss.centres.detach().numpy()
    expected = [np.linalg.norm(e - centres[k]) ** 2 for e, k in zip(embeddings.numpy(), LABELS.numpy(), strict=True)]
    np.testing.assert_allclose(loss(embeddings, LABELS).detach(), expected, rtol=1e-5)


def test_centres_move_to_the_means_of_their_groups() -> None:
    torch.manual_seed(0)
    loss, embeddings = CenterLoss(3, 5), torch.randn(4, 5)
    optimiser = torch.optim.SGD(loss.parameters(), lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        loss(embeddings, LABELS).sum().backward()
        optimiser.step()
    means = torch.stack([embeddings[k == LABELS].mean(dim=0) for k in range(3)])
    torch.testing.assert_close(loss.centres.detach(), means, atol=1e-5, rtol=1e-5)


def test_gradient() -> None:
    loss = CenterLoss(3, 5).double()
    embeddings = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)

    def distances(rows: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(loss, {"centres": centres}, (rows, LABELS))

    assert torch.autograd.gradcheck(distances, (embeddings, loss.centres))
