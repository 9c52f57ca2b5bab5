"""Terms: what a record can be filtered by, as bytes in the order of its values; and the conditions over them.

A term is a field and a value. The group is a field of its own, apart from all of the metadata:

    b"g" name of the group, UTF-8
    b"m" length of the field's name (4 bytes), the name, then one of
         b"b" 0 or 1
         b"n" a number: 10 bytes, see `_number`
         b"s" a string, UTF-8, so that bytes are in the order of code points

Postings and records that are in no snapshot yet are judged by the same terms, so they cannot disagree.
"""

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Value: TypeAlias = str | bool | int | float
"""A value that a record may have: whole numbers are of 64 bits, others finite."""

_SIGN: Final = 1 << 63
_ALL_BITS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The record has one of these terms."""

    terms: frozenset[bytes]

    def matches(self, terms: Collection[bytes]) -> bool:
        """Whether a record with these terms meets the condition."""
        return not self.terms.isdisjoint(terms)


@dataclass(frozen=True, slots=True)
class Between:
    """The record has a term from `low` on that is below `high`; there is none if `high` is not above `low`."""

    low: bytes
    high: bytes

    def matches(self, terms: Collection[bytes]) -> bool:
        """Whether a record with these terms meets the condition."""
        return any(self.low <= term < self.high for term in terms)


Condition: TypeAlias = AnyOf | Between

GROUPS: Final = Between(b"g", b"h")
"""Where the terms of all groups are."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold; without any, every record matches."""

    conditions: tuple[Condition, ...]

    def matches(self, terms: Collection[bytes]) -> bool:
        """Whether a record with these terms (`terms_of`) passes."""
        return all(condition.matches(terms) for condition in self.conditions)


def terms_of(group: str | None, metadata: Mapping[str, Any]) -> list[bytes]:
    """The terms of a record, each once; a list of strings has one for each string.

    Args:
        group: Name of its group.
        metadata: Field to a `Value` or a list of strings.
    """
    return ([] if group is None else [group_term(group)]) + metadata_terms(metadata)


def metadata_terms(metadata: Mapping[str, Any]) -> list[bytes]:
    """The terms of a record's metadata, each once."""
    terms: list[bytes] = []
    for field, value in metadata.items():
        if isinstance(value, list):
            terms += dict.fromkeys(value_term(field, item) for item in value)
        else:
            terms.append(value_term(field, value))
    return terms


def group_term(group: str) -> bytes:
    """The term of a group."""
    return GROUPS.low + group.encode()


def group_of(term: bytes) -> str:
    """The group of such a term."""
    return term[1:].decode()


def value_term(field: str, value: Value) -> bytes:
    """The term of a field with this value. Equal numbers have equal terms, 1 and 1.0 too; true and "1" are not 1."""
    return _kind(field, value) + _packed(value)


def field_range(field: str, like: Value) -> Between:
    """Where the terms of a field are whose values are of the kind of `like`."""
    kind = _kind(field, like)
    return Between(kind, after_all(kind))


def after(term: bytes) -> bytes:
    """The bytes next to a term: no term of another value lies between."""
    return term + b"\0"


def after_all(prefix: bytes) -> bytes:
    """The least bytes above all that start with a prefix, whose last byte is below 255."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def _kind(field: str, value: Value) -> bytes:
    name = field.encode()
    kind = b"s" if isinstance(value, str) else b"b" if isinstance(value, bool) else b"n"
    # the length keeps a name from running into the value
    return b"m" + len(name).to_bytes(4, "big") + name + kind


def _packed(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return bytes([value]) if isinstance(value, bool) else _number(value)


def _number(value: int | float) -> bytes:
    """The nearest double, then what a whole number differs from it by: exact and in order for all 64-bit integers.

    A double's bits are in the order of the values once the sign bit is turned, and for negative ones all others too.
    """
    nearest = float(value) + 0.0  # -0.0 becomes 0.0
    (bits,) = struct.unpack(">Q", struct.pack(">d", nearest))
    rest = value - int(nearest) if isinstance(value, int) else 0
    return struct.pack(">QH", bits ^ (_ALL_BITS if bits & _SIGN else _SIGN), 0x8000 + rest)
