"""The kinds of jobs that workers run: each kind has workers of its own, so that neither waits for the other."""

from enum import StrEnum


class Kind(StrEnum):
    """Imports and exports, or what makes releases."""

    FILES = "files"
    RELEASES = "releases"
