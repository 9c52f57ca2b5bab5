"""Averaged weights: an exponential moving average beside the trained ones, to evaluate and export with."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps average <- decay * average + (1 - decay) * weights, beginning with the weights as they are now.

    It does not change the path of the optimiser. Buffers are not averaged. A module whose weights are projected is
    averaged after the projection; where a constraint has to hold exactly, project the average again before use.

    Parameters with row-sparse gradients are best left out (`exclude`): a step changes few of their rows, but averaging
    runs over all of them.

    Args:
        module: Whose parameters to average.
        decay: In [0, 1); 0.999 averages over the last thousand steps or so.
        exclude: Names of parameters to leave alone, as in `named_parameters`.

    Raises:
        ValueError: The decay is out of range, or a name to exclude is none of a parameter.

    Source: Polyak and Juditsky 1992 (averaging); Tarvainen and Valpola 2017, arXiv:1703.01780 (exponential).
    """

    def __init__(self, module: nn.Module, decay: float, *, exclude: Collection[str] = ()) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; it must be in [0, 1)")
        names = [name for name, _ in module.named_parameters()]
        if unknown := set(exclude) - set(names):
            raise ValueError(f"no parameters {sorted(unknown)} to exclude; there are {names}")
        self._decay = decay
        self._averages = {
            name: parameter.detach().clone() for name, parameter in module.named_parameters() if name not in exclude
        }

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights after a real optimiser step."""
        parameters = dict(module.named_parameters())
        for name, average in self._averages.items():
            average.lerp_(parameters[name], 1 - self._decay)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Inside the `with` block the module has the averaged weights; then its own again, bit for bit."""
        self._swap(module)
        try:
            yield
        finally:
            self._swap(module)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by parameter name."""
        return dict(self._averages)

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put back what `state_dict` gave.

        Raises:
            ValueError: It holds the averages of other parameters.
        """
        if state.keys() != self._averages.keys():
            raise ValueError(f"averages of {sorted(state)} do not fit parameters {sorted(self._averages)}")
        for name, average in self._averages.items():
            average.copy_(state[name])

    @torch.no_grad()
    def _swap(self, module: nn.Module) -> None:
        """In place, because optimisers and recurrent layers hold on to the tensors."""
        parameters = dict(module.named_parameters())
        for name, average in self._averages.items():
            own = parameters[name].detach().clone()
            parameters[name].copy_(average)
            average.copy_(own)
