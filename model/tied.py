"""Ending with whoever started us, however that ends: a run must never go on beside another attempt at it."""

import os
import sys
import threading
from typing import Final

TIED: Final = "SAMESAY_TIED"
"""Set in the environment by a parent that holds our standard input open for as long as it lives."""

_NICENESS: Final = 5


def is_tied() -> bool:
    """Whether such a parent started us."""
    return os.environ.get(TIED) == "1"


def end_with_parent() -> None:
    """End this process once its standard input is closed, and let others go first meanwhile."""
    os.nice(_NICENESS)
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.read(): Python could not end while that holds its lock
        pass
    os._exit(1)
