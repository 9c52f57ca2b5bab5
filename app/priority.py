"""Which threads go first when the processor is short."""

import os
import sys
import threading
from contextlib import suppress
from typing import Final

BACKGROUND: Final = 5
"""Niceness of threads that nobody waits for: beside busy searches they get a quarter of a processor."""

SWITCH_S: Final = 0.001
"""After so long a thread that computes in Python lets another: a search must not wait Python's own 5 ms for a write."""


def let_others_go_first(niceness: int = BACKGROUND) -> None:
    """Lower this thread's priority, where the system knows one of threads (Linux does).

    Threads and processes that it starts later inherit it; threads that there are already keep theirs.

    Args:
        niceness: From 1 to 19, the lowest.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
