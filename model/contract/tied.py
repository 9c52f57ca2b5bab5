"""Ending with whoever started us, however that ends: what it wanted must never go on beside another attempt at it."""

import os
import sys
import threading
from typing import Final

TIED: Final = "SAMESAY_TIED"
"""1 in the environment of a trainer whose parent holds its standard input open for as long as it lives."""


def end_with_parent() -> None:
    """End this process once its standard input is closed."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.read(): Python could not end while that holds its lock
        pass
    os._exit(1)
