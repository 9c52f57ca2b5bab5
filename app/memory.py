"""What the process takes of the system: memory, which it bounds and gives back, and open files."""

import ctypes
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any


@contextmanager
def bounded_memory(most_bytes: int) -> Iterator[None]:
    """Have this process raise MemoryError, where the system can, rather than take more than so many bytes from all."""
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (_least(before, most_bytes), most))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def _least(before: int, wanted: int) -> int:
    return wanted if before == resource.RLIM_INFINITY else min(before, wanted)


def allow_open_files(most: int) -> None:
    """Let this process have so many files open, or as many as the system allows: shells begin with 1,024."""
    allowed, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
