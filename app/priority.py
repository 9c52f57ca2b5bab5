"""Which threads go first when the processor is short."""

import ctypes
import os
import platform
import struct
import sys
import threading
from contextlib import suppress
from functools import cache
from typing import Any, Final

BACKGROUND: Final = 5
"""Niceness of threads that nobody waits for: beside busy searches they get a quarter of a processor."""

SLICE_NS: Final = 100_000_000
"""How long such a thread may run at a stretch, if nobody else wants to: the most that Linux takes.

Whoever is due sooner goes first, whatever the niceness: with slices as short as everybody's, one wake-up in a hundred
waited for 4 ms beside three threads of lower priority; with these for 0.3 ms where nothing else ran.
"""

_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""The number of the system call, which Python does not have, by machine."""


def let_others_go_first(niceness: int = BACKGROUND) -> None:
    """Lower this thread's priority, where the system knows one of threads (Linux does).

    Threads and processes that it starts later inherit it.

    Args:
        niceness: From 1 to 19, the lowest.
    """
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
        _set_slice(thread, niceness)


def _set_slice(thread: int, niceness: int) -> None:
    """Linux takes it from 6.12 on, as `sched_runtime`; before, it does nothing."""
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period
    attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, niceness, 0, SLICE_NS, 0, 0)
    _libc().syscall(number, thread, attributes, 0)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None)
