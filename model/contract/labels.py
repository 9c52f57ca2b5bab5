"""The labels column: which labels apply, which partly, and which nobody has judged.

In a table the labels stand with bars between: `refund|card=0.7|?angry` says that refund applies, card to 0.7, and that
nobody knows about angry. Nothing, or `none`, is no label. In NDJSON a list holds labels as they are, an object gives
each its weight, null where nobody knows.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of one sentence; one that stands nowhere in it does not apply.

    Attributes:
        hard: Those that apply.
        weights: Soft ones, how far each applies, between 0 and 1.
        unknown: Those of which nobody knows.
    """

    hard: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def parse_labels(cell: Any) -> Labels:
    """Read a cell of the column.

    Raises:
        ValueError: What it holds is no such thing; the message names the value.
    """
    if cell is None:
        return Labels()
    if isinstance(cell, str):
        parts = [part.strip() for part in cell.split("|")]
        return _collect(_parse_part(part) for part in parts if part and part != "none")
    if isinstance(cell, Mapping):
        return _collect(cell.items())
    if isinstance(cell, list | tuple):
        return _collect((label, 1.0) for label in cell)
    raise ValueError(f"labels is {cell!r}; a string, a list or an object is wanted")


def likely_labels(hard: Iterable[str], weights: Mapping[str, float]) -> tuple[str, ...]:
    """The labels that apply more likely than not."""
    return (*hard, *(label for label, weight in weights.items() if weight >= 0.5))


def _parse_part(part: str) -> tuple[str, float | None]:
    """One label of a table, with its weight; None where nobody knows."""
    if part.startswith("?"):
        return part[1:].strip(), None
    label, equals, weight = part.rpartition("=")
    if not equals:
        return part, 1.0
    try:
        return label.strip(), float(weight)
    except ValueError:
        return part, 1.0  # an equals sign that is part of the name


def _collect(pairs: Iterable[tuple[Any, Any]]) -> Labels:
    weights: dict[str, float | None] = {}
    for label, weight in pairs:
        if not isinstance(label, str) or not label:
            raise ValueError(f"{label!r} is no label; a string is wanted")
        checked = _checked(label, weight)
        if weights.setdefault(label, checked) != checked:
            raise ValueError(f"label {label!r} is given twice, differently")
    return Labels(
        hard=tuple(label for label, weight in weights.items() if weight == 1),
        weights={label: weight for label, weight in weights.items() if weight is not None and 0 < weight < 1},
        unknown=tuple(label for label, weight in weights.items() if weight is None),
    )


def _checked(label: str, weight: Any) -> float | None:
    if weight is None:
        return None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        raise ValueError(f"the weight {weight!r} of label {label!r} is no number")
    if not 0 <= weight <= 1:
        raise ValueError(f"the weight {weight} of label {label!r} is not from 0 to 1; a name with = needs NDJSON")
    return float(weight)
