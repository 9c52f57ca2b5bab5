"""What to say of a name that is not known: those that are, and which of them was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

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
