"""What a filter means, written out over plain JSON: neither terms nor postings nor the schema are used."""

import operator
from collections.abc import Mapping
from typing import Any

_ENDS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def passes(wanted: Mapping[str, Any], group: str | None, metadata: Mapping[str, Any]) -> bool:
    """Whether a record passes a filter as a client writes it."""
    if "group" in wanted and not _meets(group, wanted["group"]):
        return False
    return all(_meets(metadata.get(field), wish) for field, wish in wanted.get("metadata", {}).items())


def _meets(value: Any, wish: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, list):
        return any(_meets(item, wish) for item in value)
    if not isinstance(wish, dict):
        return _are_equal(value, wish)
    if "in" in wish:
        return any(_are_equal(value, one) for one in wish["in"])
    return all(_kind(value) is _kind(end) and _ENDS[name](value, end) for name, end in wish.items())


def _are_equal(one: Any, other: Any) -> bool:
    return _kind(one) is _kind(other) and bool(one == other)


def _kind(value: Any) -> type:
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float
