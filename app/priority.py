"""Which threads go first when the processor is short."""

import os
import sys
import threading
from contextlib import suppress
from typing import Final

BACKGROUND: Final = 5
"""Niceness of threads that nobody waits for: beside busy searches they get a quarter of a processor."""


def let_others_go_first() -> None:
    """Lower this thread's priority, where the system knows one of threads (Linux does)."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND)
