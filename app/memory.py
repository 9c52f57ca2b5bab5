"""Giving memory back to the system."""

import ctypes
import sys
from functools import cache
from typing import Any


def give_back_free_memory() -> None:
    """Return what is free in C's heap, which glibc otherwise keeps: after an import that is a third of the process."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    """glibc's function; None with another C library."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
