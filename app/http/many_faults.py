"""Which part of a body with very many faults tells of some: of every fault pydantic would make objects."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from pydantic import BaseModel

from app.errors import FieldProblem
from app.http.errors import MOST_TOLD, pointer
from app.unknown_names import fields_at

_DEEPEST: Final = 3
"""Levels at which one value may have many faults."""

Place = tuple[int | str, ...]


def first_of_each(value: Any, schema: type[BaseModel]) -> tuple[Any, list[Place]]:
    """The value with MOST_TOLD items at most of each list and dictionary, and as many unknown fields of each object.

    Returns:
        What is left, and where items were left out: what is said of such a place as a whole may not be so.
    """
    cut: list[Place] = []
    return _first(value, schema, (), cut), cut


def without(problems: Iterable[FieldProblem], cut: Iterable[Place]) -> list[FieldProblem]:
    """Those that are not about a place where something was left out, nor about what such a place is in."""
    around = {pointer(place[:length]) for place in cut for length in range(1, len(place) + 1)}
    return [problem for problem in problems if problem.pointer not in around]


def _first(value: Any, schema: type[BaseModel], place: Place, cut: list[Place]) -> Any:
    if len(place) == _DEEPEST or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        kept: Iterator[tuple[int | str, Any]] = enumerate(value[:MOST_TOLD])
        left = {at: _first(item, schema, (*place, at), cut) for at, item in kept}
        if len(left) < len(value):
            cut.append(place)
        return list(left.values())
    known = fields_at(schema, place)
    fields = {name: value[name] for name in known if name in value}
    fields |= dict(islice(((name, item) for name, item in value.items() if name not in fields), MOST_TOLD))
    if not known and len(fields) < len(value):
        cut.append(place)
    return {name: _first(item, schema, (*place, name), cut) for name, item in fields.items()}
