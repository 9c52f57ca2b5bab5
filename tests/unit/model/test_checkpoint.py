"""Checkpoints that do not fit: told in one line, whatever wrote them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.checkpoint import RunState, load_checkpoint, save_checkpoint
from model.errors import RunFolderError

Content = tuple[dict[str, Tensor], dict[str, Any]]


def state_of(width: int = 3) -> RunState:
    """A run after one step."""
    torch.manual_seed(width)
    module = nn.Linear(width, 2)
    optimiser = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, width)).sum().backward()
    optimiser.step()
    return RunState(module, [optimiser], generators=[torch.get_rng_state()])


def test_what_was_written_is_put_back(tmp_path: Path) -> None:
    before, after = state_of(), state_of()
    before.position.epoch, before.position.sums = 4, {"loss": 0.5}
    save_checkpoint(tmp_path / "c", before, "settings")
    with torch.no_grad():
        after.modules.weight.zero_()  # type: ignore[union-attr]
    load_checkpoint(tmp_path / "c", after, "settings")
    assert after.position == before.position
    assert all(torch.equal(*pair) for pair in zip(after.modules.parameters(), before.modules.parameters(), strict=True))
    assert torch.equal(after.generators[0], before.generators[0])


def without(prefix: str) -> Callable[[Content], Content]:
    return lambda content: (
        {name: tensor for name, tensor in content[0].items() if not name.startswith(prefix)},
        content[1],
    )


def at(**fields: Any) -> Callable[[Content], Content]:
    return lambda content: (content[0], {**content[1], "position": json.dumps(fields)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("module.weight"), "does not hold what this version of samesay writes .RuntimeError"),
        (without("optimiser."), None),  # as before the first step
        (at(epoch=1, mood="good"), "does not hold .* .TypeError: .*mood"),
        (lambda content: ({**content[0], "optimiser.0.x.step": torch.ones(1)}, content[1]), "does not hold .* .ValueE"),
        (lambda content: ({**content[0], "generator.7": torch.ones(1)}, content[1]), "does not hold .* .KeyError"),
        (lambda content: (content[0], {}), "was written under other settings"),
        (lambda content: (content[0], {**content[1], "position": "{"}), "does not hold .* .JSONDecodeError"),
    ],
)
def test_another_content_is_refused(tmp_path: Path, change: Callable[[Content], Content], said: str | None) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, state_of(), "settings")
    tensors, metadata = change((load_file(path), {"settings": "settings", "position": "{}"}))
    save_file(tensors, path, metadata)
    if said is None:
        load_checkpoint(path, state_of(), "settings")
        return
    with pytest.raises(RunFolderError, match=said):
        load_checkpoint(path, state_of(), "settings")


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", state_of(4), "settings")
    with pytest.raises(RunFolderError, match=r"does not hold what this version of samesay writes \(RuntimeError"):
        load_checkpoint(tmp_path / "c", state_of(), "settings")
