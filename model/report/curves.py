"""The scalars of metrics.jsonl by epoch."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from model.report.data import Curve

_POSITIONS = ("epoch", "step")
_MOST_CURVES, _MOST_POINTS = 24, 300


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
