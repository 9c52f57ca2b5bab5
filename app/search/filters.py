"""The filter of a search: what clients write, and the conditions over terms that it means."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from app.schemas import AtMost, Strict, check_json
from app.serving.catalogue.terms import (
    AnyOf,
    Between,
    Condition,
    Filter,
    Value,
    after,
    field_range,
    group_term,
    value_term,
)

MOST_FIELDS: Final = 32
MOST_VALUES: Final = 1000
MOST_FILTER_BYTES: Final = 262_144
"""Bytes of all terms that a filter names: filters are kept in memory for the next search."""

_VALUE_REMEDY: Final = 'give a value, {"in": [values]}, or a range like {"gte": low, "lt": high}'
_GROUP_REMEDY: Final = 'give the name of a group, or {"in": [names]}'
_ENDS: Final = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values, which are of one kind."""

    values: tuple[Value, ...]

    def of(self, field: str) -> AnyOf:
        """The condition on this field of the metadata."""
        return AnyOf(frozenset(value_term(field, value) for value in self.values))


@dataclass(frozen=True, slots=True)
class Range:
    """The field has a number or a string between ends of one kind: gt or gte, and lt or lte, or only one of them."""

    ends: Mapping[str, Value]

    def of(self, field: str) -> Between:
        """The condition on this field of the metadata."""
        whole = field_range(field, next(iter(self.ends.values())))
        low, high = whole.low, whole.high
        for name, value in self.ends.items():
            term = value_term(field, value)
            if name in ("gt", "gte"):
                low = after(term) if name == "gt" else term
            else:
                high = after(term) if name == "lte" else term
        return Between(low, high)


def _read_group(wish: Any) -> AnyOf:
    names = _read_wish(wish, {"in"}, _GROUP_REMEDY)
    assert isinstance(names, OneOf)  # there is no key for a range
    terms = frozenset(group_term(name) for name in names.values if isinstance(name, str))
    if not terms:
        raise ValueError(f"holds {_kind_of(names.values[0])}: {_GROUP_REMEDY}")
    return AnyOf(terms)


def _read_field(wish: Any) -> OneOf | Range:
    return _read_wish(wish, {"in", *_ENDS}, _VALUE_REMEDY)


def _read_wish(wish: Any, keys: set[str], remedy: str) -> OneOf | Range:
    """What is asked of a field: a value, or an object with some of these keys."""
    if not isinstance(wish, dict):
        return OneOf((_read_value(wish, remedy),))
    if not wish:
        raise ValueError(f"is empty: {remedy}")
    for key in wish:
        if key not in keys:
            raise ValueError(f"has the unknown key {key[:64]!r}: {remedy}")
    if "in" not in wish:
        return _read_range(wish)
    if len(wish) > 1:
        raise ValueError("has ends of a range beside 'in': give either")
    return _read_in(wish["in"], remedy)


def _read_in(values: Any, remedy: str) -> OneOf:
    if not isinstance(values, list):
        raise ValueError(f"has {_kind_of(values)} as 'in': {remedy}")
    if not values:
        raise ValueError("has an empty 'in', which nothing matches: give values, or leave it out")
    if len(values) > MOST_VALUES:
        raise ValueError(f"has {len(values)} values in 'in', the most is {MOST_VALUES}: give fewer")
    return OneOf(_of_one_kind([_read_value(value, remedy) for value in values]))


def _read_range(ends: Mapping[str, Any]) -> Range:
    for open_end, closed_end in (("gt", "gte"), ("lt", "lte")):
        if open_end in ends and closed_end in ends:
            raise ValueError(f"has both {open_end!r} and {closed_end!r}: give either")
    values = _of_one_kind([_read_value(value, _VALUE_REMEDY) for value in ends.values()])
    if isinstance(values[0], bool):
        raise ValueError("has a boolean as the end of a range: give a number or a string")
    return Range(dict(zip(ends, values, strict=True)))


def _read_value(value: Any, remedy: str) -> Value:
    if not isinstance(value, str | int | float):
        raise ValueError(f"holds {_kind_of(value)}: {remedy}")
    check_json(value)
    return value


def _of_one_kind(values: list[Value]) -> tuple[Value, ...]:
    kinds = sorted({_kind_of(value) for value in values})
    if len(kinds) > 1:
        raise ValueError(f"mixes {' and '.join(kinds)}: give values of one kind")
    return tuple(values)


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "a boolean", str: "a string", list: "a list", dict: "an object"}.get(type(value), "a number")


def _check_fields(fields: dict[str, OneOf | Range]) -> dict[str, OneOf | Range]:
    if not fields:
        raise ValueError("is empty: name a field, or leave it out")
    for field in fields:
        check_json(field)
    return fields


def _schema_of_one_or_in(*kinds: str) -> list[dict[str, Any]]:
    one = [{"type": kind} for kind in kinds]
    values = {"type": "array", "items": {"anyOf": one}, "minItems": 1, "maxItems": MOST_VALUES}
    return [*one, {"type": "object", "properties": {"in": values}, "required": ["in"], "additionalProperties": False}]


def _schema_of_range(kind: str) -> dict[str, Any]:
    ends = {name: {"type": kind} for name in _ENDS}
    return {"type": "object", "properties": ends, "minProperties": 1, "maxProperties": 2, "additionalProperties": False}


_GROUP_SCHEMA: Final = {"anyOf": _schema_of_one_or_in("string"), "description": "a group, or one of several"}
_FIELD_SCHEMA: Final = {
    "anyOf": [
        *_schema_of_one_or_in("string", "number", "boolean"),
        _schema_of_range("number"),
        _schema_of_range("string"),
    ],
    "description": "a value, one of several, or a range; a list in a record matches if one of its strings does",
}

# pydantic would describe the classes that are read into too, which no client meets: to it they are anything
GroupWish = Annotated[Any, AfterValidator(_read_group), WithJsonSchema(_GROUP_SCHEMA)]
FieldWish = Annotated[Any, AfterValidator(_read_field), WithJsonSchema(_FIELD_SCHEMA)]


def _describe(schema: dict[str, Any]) -> None:
    """Leaving a part out is not the same as sending the default, which is refused."""
    schema["minProperties"] = 1
    for part in schema["properties"].values():
        part.pop("default")


class SearchFilter(Strict):
    """Conditions that must all hold. A record that lacks a field never passes a condition on it."""

    model_config = ConfigDict(json_schema_extra=_describe)

    group: GroupWish = None
    metadata: Annotated[dict[str, FieldWish], AtMost(MOST_FIELDS), AfterValidator(_check_fields)] = Field(
        default={}, json_schema_extra={"minProperties": 1}
    )

    @model_validator(mode="after")
    def _some_and_not_too_much(self) -> Self:
        if not self.compiled.conditions:
            raise ValueError("is empty: give group or metadata, or leave the filter out")
        size = sum(map(_size_of, self.compiled.conditions))
        if size > MOST_FILTER_BYTES:
            raise ValueError(f"asks for {size} bytes of values, the most is {MOST_FILTER_BYTES}: give fewer or shorter")
        return self

    @cached_property
    def compiled(self) -> Filter:
        """The filter over terms; equal for the same conditions in another order."""
        of_group: AnyOf | None = self.group
        of_fields: Mapping[str, OneOf | Range] = self.metadata
        conditions = [of_fields[field].of(field) for field in sorted(of_fields)]
        return Filter(tuple(conditions if of_group is None else [of_group, *conditions]))


def _size_of(condition: Condition) -> int:
    terms = condition.terms if isinstance(condition, AnyOf) else (condition.low, condition.high)
    return sum(map(len, terms))
