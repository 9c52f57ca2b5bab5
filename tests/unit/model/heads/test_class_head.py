"""The full head against cosines written out, a reference library, and float64 gradients."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import SubCenterArcFaceLoss
from torch.nn.functional import normalize

from model.heads.class_head import ClassHead
from model.heads.cosines import cosine_matrix


def unit_rows(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def naive_cosines(embeddings: torch.Tensor, head: ClassHead) -> np.ndarray:
    """(B, V): the best sub-centre of each label, pair by pair in float64."""
    weight = head.weight.detach().double().numpy().reshape(head.n_labels, head.sub_centers, -1)
    rows = embeddings.double().numpy()
    return np.array([[max(row @ c / np.linalg.norm(c) for c in label) for label in weight] for row in rows])


@pytest.mark.parametrize("sub_centers", [1, 3])
def test_cosines_equal_those_written_out(sub_centers: int) -> None:
    head = ClassHead(7, 5, sub_centers=sub_centers)
    embeddings = unit_rows(6, 5)
    labels = torch.tensor([0, 3, 6, 6, 1, 2])
    scored = head(embeddings, labels)
    assert scored.columns is None
    assert scored.targets is labels
    assert scored.cosines.dtype == torch.float32
    expected = naive_cosines(embeddings, head)
    np.testing.assert_allclose(scored.cosines.detach().numpy(), expected, atol=1e-6)  # float32 sums of 5 products
    np.testing.assert_allclose(head.cosines(embeddings).detach().numpy(), expected, atol=1e-6)


def test_sub_centres_score_as_in_pytorch_metric_learning() -> None:
    """With margin 0 their loss is the scaled softmax of our cosines."""
    head = ClassHead(11, 8, sub_centers=3)
    theirs = SubCenterArcFaceLoss(num_classes=11, embedding_size=8, margin=0, scale=30, sub_centers=3)
    with torch.no_grad():
        theirs.W.copy_(head.weight.T)  # (dim, V * K), a label's sub-centres one after the other as well
    embeddings, labels = unit_rows(20, 8), torch.arange(20) % 11
    ours = torch.nn.functional.cross_entropy(30 * head(embeddings, labels).cosines, labels)
    torch.testing.assert_close(ours, theirs(embeddings, labels), atol=1e-5, rtol=1e-5)


def test_the_gradient_reaches_only_the_best_sub_centre() -> None:
    head = ClassHead(4, 6, sub_centers=2)
    embeddings = unit_rows(1, 6)
    head.cosines(embeddings)[0, 2].backward()
    cosines = normalize(head.weight.detach(), dim=1) @ embeddings[0]
    best = 4 + int(cosines[4:6].argmax())
    assert head.weight.grad is not None
    assert head.weight.grad.norm(dim=1).nonzero().ravel().tolist() == [best]


def test_gradients_in_float64() -> None:
    head = ClassHead(5, 4, sub_centers=2).double()
    embeddings = unit_rows(3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z, w: cosine_matrix(z, w), (embeddings, head.weight))


def test_autocast_and_half_embeddings_keep_float32_cosines() -> None:
    head = ClassHead(50, 128)
    embeddings = unit_rows(16, 128)
    with torch.autocast("cpu", torch.bfloat16):
        assert (embeddings @ embeddings.T).dtype == torch.bfloat16  # so the context is at work
        inside = head.cosines(embeddings)
    torch.testing.assert_close(inside, head.cosines(embeddings), atol=0, rtol=0)
    half = head.cosines(embeddings.half())
    assert half.dtype == torch.float32
    np.testing.assert_allclose(half.detach().numpy(), naive_cosines(embeddings.half(), head), atol=1e-6)


def test_cosines_stay_within_one_and_their_gradient_is_harmless_there() -> None:
    raw = torch.randn(400, 37, generator=torch.Generator().manual_seed(1)).requires_grad_()
    unclamped = normalize(raw, dim=1) @ normalize(raw.detach() * 3, dim=1).T
    assert unclamped.diagonal().max() > 1  # rounding does carry some past 1
    cosines = cosine_matrix(normalize(raw, dim=1), raw.detach() * 3)
    assert cosines.max() <= 1
    (30 * cosines.diagonal().sum()).backward()
    assert raw.grad is not None
    assert raw.grad.abs().max() < 1e-5  # at an angle of 0 the exact gradient is 0


def test_the_dominant_sub_centre_stands_for_its_label() -> None:
    head = ClassHead(3, 2, sub_centers=2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0], [0, 2], [-1, 0], [0, -1], [1, 1], [1, -1]]))
    embeddings = normalize(torch.tensor([[1, 0.1], [0.1, 1], [0, 1], [-1, -0.1], [1, 0.9]]), dim=1)
    labels = torch.tensor([0, 0, 0, 1, 2])
    counts = head.count_assignments(embeddings, labels)
    assert counts.tolist() == [[1, 2], [1, 0], [1, 0]]
    root = 0.5**0.5
    torch.testing.assert_close(head.class_vectors(counts), torch.tensor([[0.0, 1], [-1, 0], [root, root]]))
    with pytest.raises(ValueError, match="2 sub-centres a label: counts"):
        head.class_vectors()


def test_class_vectors_are_unit_float32_and_free_of_the_graph() -> None:
    head = ClassHead(9, 4)
    vectors = head.class_vectors()
    np.testing.assert_allclose(np.linalg.norm(vectors.double().numpy(), axis=1), 1, atol=1e-6)
    assert vectors.dtype == torch.float32
    assert not vectors.requires_grad
    embeddings = unit_rows(3, 4)
    torch.testing.assert_close(embeddings @ vectors.T, head.cosines(embeddings).detach())
