"""Where a long measurement stands."""

import sys


def tell(line: str) -> None:
    """Say it on stderr: stdout is for results."""
    print(line, file=sys.stderr, flush=True)
