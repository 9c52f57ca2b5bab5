"""JSON of an upload, whose whole numbers stay whole: what is beyond 64 bits is refused later, and not rounded now."""

import json
import re
from typing import Any, Final

import orjson

_LONG: Final = re.compile(rb"\d{19}")
"""As many digits as -2^63 has: shorter numbers fit."""


def loads(text: bytes) -> Any:
    """Read JSON in UTF-8; of whole numbers beyond 64 bits orjson makes floats, so that Python's reader reads those.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    value = orjson.loads(text)
    if _LONG.search(text) is None:
        return value
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
