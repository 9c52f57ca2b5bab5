"""The sampled head against the full one, and its row-sparse optimiser against Adam written out."""

import io

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from model.heads.class_head import ClassHead
from model.heads.cosines import cosine_matrix
from model.heads.sampled_head import SampledHead

N_LABELS, DIM = 60, 8


def unit_rows(n: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def step(head: SampledHead, optimiser: torch.optim.Optimizer, number: int) -> torch.Tensor:
    """One training step on a batch that depends on its number; the columns drawn."""
    generator = torch.Generator().manual_seed(number)
    labels = torch.randint(N_LABELS, (6,), generator=generator)
    scored = head(unit_rows(6, number), labels)
    optimiser.zero_grad(set_to_none=True)
    cross_entropy(10 * scored.cosines, scored.targets).backward()
    optimiser.step()
    return scored.columns


def test_a_forward_scores_the_batch_labels_and_as_many_others() -> None:
    head = SampledHead(N_LABELS, DIM, n_negatives=10, seed=0)
    labels = torch.tensor([7, 3, 7, 59])
    embeddings = unit_rows(4)
    scored = head(embeddings, labels)
    assert torch.equal(scored.columns[scored.targets], labels)
    assert len(scored.columns.unique()) == len(scored.columns) == 3 + 10
    everything = head.cosines(embeddings)
    torch.testing.assert_close(scored.cosines, everything[:, scored.columns], atol=1e-6, rtol=0)
    assert not torch.equal(head(embeddings, labels).columns, scored.columns)  # drawn anew


def test_all_negatives_make_it_the_full_head() -> None:
    head, full = SampledHead(N_LABELS, DIM, n_negatives=N_LABELS - 1, seed=0), ClassHead(N_LABELS, DIM)
    full.load_state_dict({"weight": head.weight.detach()})
    embeddings, labels = unit_rows(9), torch.arange(9) * 5
    ours, theirs = head(embeddings, labels), full(embeddings, labels)
    assert sorted(ours.columns.tolist()) == list(range(N_LABELS))
    torch.testing.assert_close(ours.cosines, theirs.cosines[:, ours.columns])
    torch.testing.assert_close(
        cross_entropy(30 * ours.cosines, ours.targets), cross_entropy(30 * theirs.cosines, theirs.targets)
    )
    torch.testing.assert_close(head.cosines(embeddings), full.cosines(embeddings).detach())
    torch.testing.assert_close(head.class_vectors(), full.class_vectors())


def test_evaluation_in_blocks_equals_evaluation_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    head = SampledHead(N_LABELS, DIM, n_negatives=5, seed=0)
    embeddings = unit_rows(3)
    monkeypatch.setattr("model.heads.sampled_head._BLOCK_ROWS", 7)  # 60 is no multiple of it
    torch.testing.assert_close(head.cosines(embeddings), cosine_matrix(embeddings, head.weight).detach())


def test_gradients_equal_those_of_the_full_head_over_the_same_columns() -> None:
    torch.manual_seed(0)
    head, full = SampledHead(N_LABELS, DIM, n_negatives=10, seed=0), ClassHead(N_LABELS, DIM)
    full.load_state_dict({"weight": head.weight.detach()})
    ours, theirs = unit_rows(5).requires_grad_(), unit_rows(5).requires_grad_()
    labels = torch.tensor([7, 3, 7, 59, 0])
    scored = head(ours, labels)
    cross_entropy(30 * scored.cosines, scored.targets).backward()
    restricted = full(theirs, labels).cosines[:, scored.columns]
    cross_entropy(30 * restricted, scored.targets).backward()
    assert head.weight.grad is not None
    assert head.weight.grad.is_sparse
    torch.testing.assert_close(head.weight.grad.to_dense(), full.weight.grad, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-5)


def test_rows_that_were_not_drawn_keep_weight_and_moments() -> None:
    head = SampledHead(N_LABELS, DIM, n_negatives=10, seed=0)
    optimiser = torch.optim.SparseAdam(head.parameters(), lr=0.01)
    step(head, optimiser, 0)  # moments now exist
    for number in range(1, 4):
        slots = optimiser.state[head.weight]
        before = [tensor.clone() for tensor in (head.weight.detach(), slots["exp_avg"], slots["exp_avg_sq"])]
        drawn = step(head, optimiser, number)
        after = [head.weight.detach(), slots["exp_avg"], slots["exp_avg_sq"]]
        for old, new in zip(before, after, strict=True):
            changed = (old != new).any(dim=1).nonzero().ravel()
            assert sorted(changed.tolist()) == sorted(drawn.tolist())


def test_the_row_sparse_optimiser_is_adam_row_by_row() -> None:
    """m, v and weight of a row move only when it is drawn; the rate counts all steps (Kingma and Ba, section 2)."""
    head = SampledHead(N_LABELS, DIM, n_negatives=10, seed=0)
    optimiser = torch.optim.SparseAdam(head.parameters(), lr=0.01, betas=(0.9, 0.999), eps=1e-8)
    weight = head.weight.detach().double().numpy().copy()
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    for number in range(1, 8):
        drawn = step(head, optimiser, number).numpy()
        assert head.weight.grad is not None
        gradient = head.weight.grad.to_dense().double().numpy()
        for row in drawn:
            m[row] = 0.9 * m[row] + 0.1 * gradient[row]
            v[row] = 0.999 * v[row] + 0.001 * gradient[row] ** 2
            rate = 0.01 * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            weight[row] -= rate * m[row] / (np.sqrt(v[row]) + 1e-8)
    np.testing.assert_allclose(head.weight.detach().numpy(), weight, atol=1e-6)


def test_a_resumed_run_has_the_same_bits() -> None:
    def fresh() -> tuple[SampledHead, torch.optim.Optimizer]:
        torch.manual_seed(0)
        head = SampledHead(N_LABELS, DIM, n_negatives=10, seed=3)
        return head, torch.optim.SparseAdam(head.parameters(), lr=0.01)

    straight, optimiser = fresh()
    for number in range(6):
        step(straight, optimiser, number)
    stopped, optimiser = fresh()
    for number in range(3):
        step(stopped, optimiser, number)
    disk = io.BytesIO()
    torch.save((stopped.state_dict(), optimiser.state_dict()), disk)
    disk.seek(0)
    weights, slots = torch.load(disk)
    torch.manual_seed(99)
    resumed = SampledHead(N_LABELS, DIM, n_negatives=10, seed=77)
    resumed.load_state_dict(weights)
    optimiser = torch.optim.SparseAdam(resumed.parameters(), lr=0.01)
    optimiser.load_state_dict(slots)
    for number in range(3, 6):
        step(resumed, optimiser, number)
    assert torch.equal(resumed.weight, straight.weight)
    assert torch.equal(resumed.get_extra_state(), straight.get_extra_state())


def test_the_draws_leave_the_global_generator_alone() -> None:
    head = SampledHead(N_LABELS, DIM, n_negatives=10, seed=0)
    before = torch.get_rng_state()
    head(unit_rows(4), torch.arange(4))
    assert torch.equal(torch.get_rng_state(), before)
