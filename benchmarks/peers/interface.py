"""What the measurement asks of a peer."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import Load
from benchmarks.server import Server


class Session(Protocol):
    """A running peer. Answers name the K nearest records with their sentences."""

    @property
    def server(self) -> Server:
        """Its processes."""
        ...

    def load(self) -> None:
        """Store all records, 1,000 at a time where it can; afterwards searches find all of them."""
        ...

    def settle(self) -> None:
        """Build what it is told to build after loading, if anything."""
        ...

    def neighbours(self, n: int) -> NDArray[np.int64]:
        """(n, K) record ids found for the first n queries, one after the other; -1 where there are less."""
        ...

    def drive(self, n: int, connections: int) -> Load:
        """Ask n queries over so many connections."""
        ...


class Peer(Protocol):
    """A service that is measured on a corpus."""

    @property
    def name(self) -> str:
        """In the table."""
        ...

    @property
    def max_connections(self) -> int:
        """Of one client, at most."""
        ...

    @property
    def efforts(self) -> tuple[int, ...]:
        """What is raised until the recall is reached: numbers of candidates, or of lists."""
        ...

    def version(self) -> str | None:
        """What is installed, None without it."""
        ...

    def running(self, folder: Path, effort: int) -> AbstractContextManager[Session]:
        """Start it on a folder: an empty one, or that of an earlier session.

        Args:
            folder: Its own, it exists.
            effort: One of `efforts`, for all searches of this session.
        """
        ...
