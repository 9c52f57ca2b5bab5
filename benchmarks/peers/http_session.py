"""A peer that is asked over HTTP: the same light client for all of them, requests made beforehand."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import Load, answers, run_requests
from benchmarks.peers.corpus import K
from benchmarks.server import HOST, Server


class HttpQueries:
    """Asks the queries.

    Args:
        server: A running one.
        requests: One a query, as it goes over the wire.
        ids_of: From an answer's body to the record ids in it.
    """

    def __init__(self, server: Server, requests: Sequence[bytes], ids_of: Callable[[bytes], list[int]]) -> None:
        self.server = server
        self._requests = requests
        self._ids_of = ids_of

    def neighbours(self, n: int) -> NDArray[np.int64]:
        """See Session."""
        found = np.full((n, K), -1)
        for row, body in enumerate(answers(HOST, self.server.port, self._requests[:n])):
            ids = self._ids_of(body)
            found[row, : len(ids)] = ids
        return found

    def drive(self, n: int, connections: int) -> Load:
        """See Session."""
        return run_requests(HOST, self.server.port, self._requests, n=n, connections=connections)
