"""Which values a setting can have, in words."""

from enum import StrEnum
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

_BOUNDS: Final = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}


def describe_range(info: FieldInfo) -> str:
    """The words or the bounds that a setting allows, as a sentence; empty where anything of its type goes."""
    if words := _words(info.annotation):
        return f"One of {', '.join(words)}."
    bounds = [
        sign.format(f"{getattr(bound, name):,}")
        for bound in info.metadata
        for name, sign in _BOUNDS.items()
        if getattr(bound, name, None) is not None
    ]
    sentence = ", ".join(bounds)
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""


def _words(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return list(annotation)
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if NoneType in get_args(annotation):
        return ["none", *(word for part in get_args(annotation) for word in _words(part))]
    return []
