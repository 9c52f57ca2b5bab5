"""`python -m model`."""

import os
import sys
from typing import Final

# Threads that wait must not spin: beside any other load a spinning pair of threads trains four times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from model.contract.tied import TIED, end_with_parent

_NICENESS: Final = 5
"""Of a run that a service started: others go first."""

if __name__ == "__main__":
    if os.environ.get(TIED) == "1":
        os.nice(_NICENESS)
        end_with_parent()
    try:
        from model.cli import main  # after the first line: OpenMP reads its environment once, when torch is loaded

        main()
    except KeyboardInterrupt:  # before a command had begun
        sys.exit(130)
