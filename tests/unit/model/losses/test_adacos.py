"""AdaCos against its rule written out in NumPy."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from model.losses.adacos import AdaCosScale, fixed_scale


@pytest.mark.parametrize(("n_labels", "rounded"), [(1000, 9.8), (10_000, 13.0), (90_000, 16.1)])
def test_fixed_scale_reference_values(n_labels: int, rounded: float) -> None:
    assert fixed_scale(n_labels) == pytest.approx(rounded, abs=0.05)


@pytest.mark.parametrize("n_labels", [3, 77, 5000])
def test_fixed_scale_gives_one_half_at_45_degrees(n_labels: int) -> None:
    cosines = np.zeros(n_labels)
    cosines[0] = math.cos(math.pi / 4)
    weights = np.exp(fixed_scale(n_labels) * cosines)
    assert weights[0] / weights.sum() == pytest.approx(0.5)


@pytest.mark.parametrize("n_labels", [1, 2])
def test_too_few_labels_are_refused(n_labels: int) -> None:
    with pytest.raises(ValueError, match=str(n_labels)):
        AdaCosScale(n_labels)


def naive_update(scale: float, cosines: np.ndarray, labels: np.ndarray) -> float:
    angles = sorted(math.acos(row[label]) for row, label in zip(cosines, labels, strict=True))
    median = angles[(len(angles) - 1) // 2]
    mass = np.mean([
        sum(math.exp(scale * c) for i, c in enumerate(row) if i != label)
        for row, label in zip(cosines, labels, strict=True)
    ])  # fmt: skip
    return math.log(mass) / math.cos(min(math.pi / 4, median))


@pytest.mark.parametrize("rows", [1, 8, 9])
@pytest.mark.parametrize("learnt", [0.0, 0.9])
def test_update_matches_the_rule_over_several_batches(rows: int, learnt: float) -> None:
    """Untrained, the median angle is above 45 degrees and is cut there; learnt, it counts itself."""
    rng = np.random.default_rng(rows)
    module, expected = AdaCosScale(20), fixed_scale(20)
    for _ in range(3):
        cosines, labels = rng.uniform(-0.5, 0.5, (rows, 20)), rng.integers(0, 20, rows)
        cosines[np.arange(rows), labels] = learnt + rng.uniform(0, 0.1, rows)
        module.update(torch.from_numpy(cosines), torch.from_numpy(labels))
        expected = naive_update(expected, cosines, labels)
        assert module.value().item() == pytest.approx(expected, rel=1e-5)
    assert module.value().item() != pytest.approx(fixed_scale(20), rel=1e-2)


def test_evaluation_leaves_the_scale_alone() -> None:
    module = AdaCosScale(5).eval()
    module.update(torch.rand(4, 5), torch.tensor([0, 1, 2, 3]))
    assert module.value().item() == pytest.approx(fixed_scale(5))


def test_the_scale_stays_positive_where_groups_lie_far_apart() -> None:
    """Three groups at 120 degrees: B < 1, and the bare rule would turn every logit round."""
    cosines = torch.full((3, 3), -0.5).fill_diagonal_(1.0)
    assert naive_update(2.0, cosines.double().numpy(), np.arange(3)) < 0
    module = AdaCosScale(3)
    module.scale.fill_(2.0)
    module.update(cosines, torch.arange(3))
    assert module.value().item() == 1.0


def test_no_gradient_flows_and_an_update_spares_a_pending_backward() -> None:
    module = AdaCosScale(5)
    cosines = torch.rand(4, 5, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3])
    before = module.value()
    loss = cross_entropy(before * cosines, labels)
    module.update(cosines, labels)
    loss.backward()
    assert not module.value().requires_grad
    assert cosines.grad is not None
    softmax = torch.softmax(before * cosines.detach(), dim=1)
    torch.testing.assert_close(cosines.grad, before * (softmax - torch.eye(5)[labels]) / 4)


def test_huge_scales_do_not_overflow() -> None:
    module = AdaCosScale(5)
    module.scale.fill_(500.0)
    module.update(torch.full((2, 5), 0.9), torch.tensor([0, 1]))
    assert module.value().item() == pytest.approx((500 * 0.9 + math.log(4)) / 0.9, rel=1e-5)


def test_the_scale_is_part_of_the_state() -> None:
    module, copy = AdaCosScale(5), AdaCosScale(5)
    module.update(torch.rand(4, 5), torch.tensor([0, 1, 2, 3]))
    copy.load_state_dict(module.state_dict())
    assert torch.equal(module.value(), copy.value())
    assert module.value().dtype == torch.float32
