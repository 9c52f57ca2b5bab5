"""Weight constraints: what a matrix is held to, by putting it back after each step or by how it is expressed.

By projection, the weights take a free step and are then put back; the optimiser's momentum keeps what was cut off. By
parametrisation, the constrained matrix is computed from free weights whenever it is used, and gradients flow through.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from model.config import ConstraintBy, WeightConstraint
from model.errors import ConfigError

_POWER_ITERATIONS = 5
_FIRST_POWER_ITERATIONS = 50
_SMALLEST_NORM = 1e-12


class Constraint(nn.Module, ABC):
    """Maps a weight matrix to one that obeys."""

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """(rows, columns) weights to constrained ones of the same shape."""


class UnitNorm(Constraint):
    """Every row has length 1; a row of zeros stays."""

    def forward(self, weight: Tensor) -> Tensor:
        return normalize(weight, dim=1, eps=_SMALLEST_NORM)


class MaxNorm(Constraint):
    """A row longer than `limit` is cut to it.

    Source: Srivastava et al. 2014, "Dropout", section 5.1.
    """

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, weight: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(weight, dim=1, keepdim=True).clamp(min=_SMALLEST_NORM)
        shrink: Tensor = (self.limit / norms).clamp(max=1)
        return weight * shrink


class SpectralNorm(Constraint):
    """The largest singular value is at most `limit`: a matrix above it is scaled down as a whole.

    The singular value comes from five power iterations. They begin where the last ones of training ended, so that it
    stays exact to a few digits while the weights move slowly. It is approached from below. For the stacked gates of a
    GRU it is that of the whole stack.

    Args:
        limit: Largest singular value.
        weight: (rows, columns) as it is now, for the first iterations.

    Attributes:
        direction: (columns,) unit vector, the right singular vector as far as known; part of `state_dict`.

    Source: Miyato et al. 2018, arXiv:1802.05957 (power iteration); Gouk et al. 2021, arXiv:1804.04368 (scaling down).
    """

    direction: Tensor

    def __init__(self, limit: float, weight: Tensor) -> None:
        super().__init__()
        self.limit = limit
        # a generator of its own, so that a constraint does not change the draws of everything after it
        start = torch.randn(weight.shape[1], generator=torch.Generator().manual_seed(0)).to(weight)
        self.register_buffer("direction", _iterate(weight.detach(), start, _FIRST_POWER_ITERATIONS))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            right = _iterate(weight.detach(), self.direction, _POWER_ITERATIONS)
            if self.training:
                self.direction.copy_(right)
            left = normalize(weight.detach() @ right, dim=0)
            largest = left @ weight @ right  # differentiable in the weight, the two directions held fixed
            return weight * (self.limit / largest.clamp(min=_SMALLEST_NORM)).clamp(max=1)


def constrain(
    module: nn.Module, parameter_name: str, kind: WeightConstraint, limit: float, by: ConstraintBy
) -> Callable[[], None]:
    """Hold a parameter of a module to a constraint, from now on. Comes before the optimiser is made.

    Args:
        module: Owner of the parameter: a head, nn.Linear, nn.GRU, ...
        parameter_name: For example `weight`, or `weight_hh_l0` of a GRU. Two dimensions.
        kind: The constraint; `none` does nothing.
        limit: Largest norm of a row, or largest singular value; positive. `unit_norm` has none.
        by: Projection or parametrisation.

    Returns:
        What to call after every real optimiser step, before weights are averaged. Does nothing by parametrisation.

    Raises:
        ConfigError: The parameter is no matrix, or the limit is not positive.
    """
    if kind is WeightConstraint.NONE:
        return _nothing
    parameter = module.get_parameter(parameter_name)
    if parameter.ndim != 2:
        raise ConfigError(f"{kind} is for matrices; {parameter_name} has shape {tuple(parameter.shape)}")
    if limit <= 0:
        raise ConfigError(f"the limit of {kind} is {limit}; it must be positive")
    constraint = _make(kind, limit, parameter)
    if by is ConstraintBy.PARAMETRISATION:
        parametrize.register_parametrization(module, parameter_name, constraint)
        return _nothing
    # a child of the module, so that the direction of a spectral norm is saved and resumed with it
    module.add_module(f"{parameter_name}_constraint", constraint)

    def project() -> None:
        project_(parameter, constraint)

    project()
    return project


@torch.no_grad()
def project_(parameter: Tensor, constraint: Constraint) -> None:
    """Put a parameter back, in place."""
    parameter.copy_(constraint(parameter))


def remove(module: nn.Module) -> None:
    """Free every constrained parameter of a module and its children, at the value that it has now.

    What is then saved has the names and shapes of a module that never was constrained.
    """
    for owner in list(module.modules()):
        if parametrize.is_parametrized(owner):
            for name in list(owner.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(owner, name, leave_parametrized=True)
        for name, child in list(owner.named_children()):
            if isinstance(child, Constraint):
                delattr(owner, name)


def _make(kind: WeightConstraint, limit: float, weight: Tensor) -> Constraint:
    if kind is WeightConstraint.UNIT_NORM:
        return UnitNorm()
    if kind is WeightConstraint.MAX_NORM:
        return MaxNorm(limit)
    return SpectralNorm(limit, weight)


def _iterate(weight: Tensor, right: Tensor, times: int) -> Tensor:
    for _ in range(times):
        right = normalize(weight.T @ normalize(weight @ right, dim=0), dim=0)
    return right


def _nothing() -> None:
    """Nothing is to be done after a step."""
