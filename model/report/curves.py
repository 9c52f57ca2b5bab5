"""The scalars of metrics.jsonl by epoch."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from model.report.data import Curve

_POSITIONS = ("epoch", "step")
_MOST_CURVES, _MOST_POINTS = 24, 300


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """The objects of a metrics file, one an epoch; a line that a killed run left half written is passed over."""
    if not path.exists():
        return []
    by_epoch: dict[int, dict[str, Any]] = {}
    for line in path.read_text(errors="replace").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and isinstance(values.get("epoch"), int):
            by_epoch[values["epoch"]] = values  # a resumed run may repeat an epoch: the later line counts
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def draw_curves(epochs: Iterable[Mapping[str, Any]]) -> tuple[Curve, ...]:
    """Every finite scalar by epoch, in the order of their first appearance; long runs are thinned evenly."""
    points: dict[str, list[tuple[int, float]]] = {}
    for values in epochs:
        for name, value in values.items():
            if name not in _POSITIONS and _is_figure(value):
                points.setdefault(name, []).append((int(values["epoch"]), float(value)))
    return tuple(_thinned(name, series) for name, series in list(points.items())[:_MOST_CURVES])


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _thinned(name: str, points: list[tuple[int, float]]) -> Curve:
    step = -(-len(points) // _MOST_POINTS)
    kept = points[::-1][::step][::-1]  # from the end: the last epoch always stays
    return Curve(name=name, epochs=tuple(epoch for epoch, _ in kept), values=tuple(value for _, value in kept))
