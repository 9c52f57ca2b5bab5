"""Which version of a package another Python has."""

import subprocess
from pathlib import Path


def installed_version(python: Path, package: str) -> str | None:
    """The version of a distribution, None where it is not installed."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run(
        [python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    return done.stdout.strip() or None
