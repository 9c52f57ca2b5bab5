"""JSON of an upload, whose whole numbers stay whole: what is beyond 64 bits is refused later, and not rounded now."""

import json
import re
from typing import Any, Final

import orjson

_LONG: Final = re.compile(rb"\d{19}")


def loads(text: bytes) -> Any:
    """Read JSON in UTF-8; orjson makes floats of whole numbers from 2^64 on, so that these are read by Python's reader.

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
