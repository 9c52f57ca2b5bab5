"""What to say of a name that is not known: those that are, and which of them was probably meant."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_LONGEST: Final = 64
"""Characters; no name of ours is longer, and comparing takes the product of the lengths."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no parameter or field of this name, and what there is.

    Args:
        kind: What it would be, such as "field".
        name: The unknown one.
        known: Those that there are, in the order in which they shall be told.
    """
    names = list(known)
    if not names:
        return f"unknown {kind}; there is none here: leave it out"
    near = get_close_matches(name.lower(), names, n=1) if len(name) <= _LONGEST else []
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"unknown {kind}; known: {', '.join(names)}{meant}"


def fields_at(schema: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """The fields that an object in a body may have.

    Args:
        schema: Of the body.
        place: Where the object is in it: fields of objects, positions in lists.
    """
    found: list[Any] = [schema]
    for part in place:
        found = [inner for kind in found for inner in _inside(kind, part)]
    return [name for kind in found for name in _fields(kind)]


def _inside(kind: Any, part: int | str) -> list[Any]:
    """The types of what is at a place in a value of this type."""
    if get_origin(kind) in (list, tuple, dict):
        return list(_plain(get_args(kind)[1 if get_origin(kind) is dict else 0]))
    field = _fields(kind).get(str(part))
    return [] if field is None else list(_plain(field.annotation))


def _fields(kind: Any) -> dict[str, FieldInfo]:
    """By the names that clients use."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _plain(kind: Any) -> Iterator[Any]:
    """The types that a value may have, without what is only noted beside them."""
    if get_origin(kind) is Annotated:
        yield from _plain(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _plain(each)
    else:
        yield kind
