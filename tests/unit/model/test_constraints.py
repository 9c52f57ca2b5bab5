"""Weight constraints against numpy.linalg, torch's own spectral norm, and modules that were never constrained."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

from model.config import ConstraintBy, WeightConstraint
from model.constraints import MaxNorm, SpectralNorm, UnitNorm, constrain, project_, remove
from model.errors import ConfigError
from model.heads.class_head import ClassHead

KINDS = (WeightConstraint.UNIT_NORM, WeightConstraint.MAX_NORM, WeightConstraint.SPECTRAL_NORM)
LIMIT = 0.7


def sequences() -> nn.utils.rnn.PackedSequence:
    values = torch.randn(3, 7, 6, generator=torch.Generator().manual_seed(5))
    return pack_padded_sequence(values, torch.tensor([7, 4, 2]), batch_first=True)


def gru_output(gru: nn.Module) -> torch.Tensor:
    output: torch.Tensor = gru(sequences())[0].data
    return output


def linear_output(linear: nn.Module) -> torch.Tensor:
    output: torch.Tensor = linear(torch.ones(3, 6))
    return output


def head_output(head: nn.Module) -> torch.Tensor:
    output: torch.Tensor = head(normalize(torch.ones(3, 6), dim=1), torch.tensor([0, 1, 2])).cosines
    return output


OWNERS: dict[str, tuple[Callable[[], nn.Module], str, Callable[[nn.Module], torch.Tensor]]] = {
    "linear": (lambda: nn.Linear(6, 9), "weight", linear_output),
    "class head": (lambda: ClassHead(9, 6), "weight", head_output),
    "recurrent": (lambda: nn.GRU(6, 8, bidirectional=True), "weight_hh_l0_reverse", gru_output),
    "input": (lambda: nn.GRU(6, 8), "weight_ih_l0", gru_output),
}


def obeys(kind: WeightConstraint, weight: torch.Tensor) -> bool:
    matrix = weight.detach().double().numpy()
    norms = np.linalg.norm(matrix, axis=1)
    if kind is WeightConstraint.UNIT_NORM:
        return bool(np.allclose(norms, 1, atol=1e-6))
    if kind is WeightConstraint.MAX_NORM:
        return bool((norms < LIMIT + 1e-6).all())
    # power iterations approach the singular value from below, and these weights change by a tenth in one step
    return bool(np.linalg.svd(matrix, compute_uv=False)[0] < LIMIT * 1.01)


def largest(weight: torch.Tensor) -> float:
    return float(np.linalg.svd(weight.detach().double().numpy(), compute_uv=False)[0])


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def test_unit_norm_and_max_norm_are_the_row_formulas() -> None:
    weight = matrix(5, 4)
    weight[2] = 0
    weight[3] *= 0.01
    rows = weight.double().numpy()
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    np.testing.assert_allclose(UnitNorm()(weight).numpy(), unit, atol=1e-6)
    np.testing.assert_allclose(MaxNorm(1.5)(weight).numpy(), np.where(norms > 1.5, unit * 1.5, rows), atol=1e-6)


def test_spectral_norm_scales_to_the_limit_only_what_is_above_it() -> None:
    weight = matrix(30, 12)
    constraint = SpectralNorm(2.0, weight)
    above = constraint(weight)
    torch.testing.assert_close(above, weight * 2.0 / largest(weight), atol=0, rtol=1e-4)
    small = weight * 0.1
    assert largest(small) < 2
    assert torch.equal(constraint(small), small)


def test_spectral_norm_equals_that_of_torch() -> None:
    """Theirs divides by the singular value always, which is ours with limit 1 for a matrix above 1."""
    ours, theirs = nn.Linear(12, 30), nn.Linear(12, 30)
    with torch.no_grad():
        ours.weight.copy_(matrix(30, 12))
    theirs.load_state_dict(ours.state_dict())
    constrain(ours, "weight", WeightConstraint.SPECTRAL_NORM, 1.0, ConstraintBy.PARAMETRISATION)
    parametrizations.spectral_norm(theirs, n_power_iterations=50)
    for linear in (ours, theirs):
        linear(torch.ones(2, 12)).square().sum().backward()
    torch.testing.assert_close(ours.weight, theirs.weight, atol=1e-5, rtol=1e-4)
    gradients = [linear.parametrizations["weight"].original.grad for linear in (ours, theirs)]  # type: ignore[index]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", [UnitNorm(), MaxNorm(0.5), SpectralNorm(0.5, matrix(4, 3).double())], ids=repr)
def test_gradients_in_float64(kind: nn.Module) -> None:
    kind.eval()  # the direction of the spectral norm stays
    assert torch.autograd.gradcheck(kind, (matrix(4, 3).double().requires_grad_(),), atol=1e-4)


@pytest.mark.parametrize("by", ConstraintBy)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("owner", OWNERS)
def test_weights_obey_after_every_step_and_learn(owner: str, kind: WeightConstraint, by: ConstraintBy) -> None:
    torch.manual_seed(0)
    make, name, output = OWNERS[owner]
    module = make()
    after_step = constrain(module, name, kind, LIMIT, by)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    start = getattr(module, name).detach().clone()
    assert obeys(kind, start)
    losses = []
    for _ in range(30):
        loss = (output(module) - 0.2).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        after_step()
        losses.append(loss.item())
        output(module)  # a forward in training keeps the direction of the spectral norm near
        assert obeys(kind, getattr(module, name))
    assert losses[-1] < 0.95 * losses[0]
    assert not torch.equal(getattr(module, name), start)


@pytest.mark.parametrize("by", ConstraintBy)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("owner", OWNERS)
def test_a_freed_module_answers_the_same_and_looks_as_if_never_constrained(
    owner: str, kind: WeightConstraint, by: ConstraintBy
) -> None:
    torch.manual_seed(0)
    make, name, output = OWNERS[owner]
    module, plain = make(), make()
    constrain(module, name, kind, LIMIT, by)
    module.eval()
    answer = output(module).detach()
    remove(nn.ModuleDict({"inside": module}))
    assert torch.equal(output(module), answer)
    shapes = {key: value.shape for key, value in plain.state_dict().items()}
    assert {key: value.shape for key, value in module.state_dict().items()} == shapes
    plain.load_state_dict(module.state_dict())
    assert torch.equal(output(plain), answer)
    output(module).sum().backward()
    assert module.get_parameter(name).grad is not None


@pytest.mark.parametrize("by", ConstraintBy)
def test_the_direction_of_a_spectral_norm_is_resumed(by: ConstraintBy) -> None:
    def fresh(seed: int) -> nn.Linear:
        linear = nn.Linear(6, 9)
        with torch.no_grad():
            linear.weight.copy_(matrix(9, 6, seed))
        constrain(linear, "weight", WeightConstraint.SPECTRAL_NORM, LIMIT, by)
        return linear

    first, second = fresh(0), fresh(1)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(torch.ones(1, 6)), first(torch.ones(1, 6)))
    assert any("direction" in name for name in first.state_dict())


def test_projection_is_in_place_and_outside_the_graph() -> None:
    parameter = nn.Parameter(matrix(4, 3))
    storage = parameter.data_ptr()
    project_(parameter, UnitNorm())
    assert parameter.data_ptr() == storage
    assert parameter.is_leaf
    assert parameter.grad_fn is None


def test_a_constraint_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    SpectralNorm(1.0, matrix(5, 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_constrained_is_refused() -> None:
    linear = nn.Linear(4, 3)
    with pytest.raises(ConfigError, match=r"max_norm is for matrices; bias has shape \(3,\)"):
        constrain(linear, "bias", WeightConstraint.MAX_NORM, 1.0, ConstraintBy.PROJECTION)
    with pytest.raises(ConfigError, match="the limit of max_norm is 0"):
        constrain(linear, "weight", WeightConstraint.MAX_NORM, 0, ConstraintBy.PROJECTION)


def test_no_constraint_leaves_everything_as_it_is() -> None:
    linear = nn.Linear(4, 3)
    before = linear.weight.detach().clone()
    constrain(linear, "weight", WeightConstraint.NONE, 1.0, ConstraintBy.PROJECTION)()
    assert torch.equal(linear.weight, before)
    assert list(linear.state_dict()) == ["weight", "bias"]
