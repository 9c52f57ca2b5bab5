"""`python -m model`."""

import os

# Threads that wait must not spin: beside any other load a spinning pair of threads trains four times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from model.cli import main  # after the line above: OpenMP reads its environment once, when torch is loaded
from model.tied import end_with_parent, is_tied

if __name__ == "__main__":
    if is_tied():
        end_with_parent()
    main()
