"""zvec, which has no server: in a process of its own, one caller, HNSW over inner products."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, Any

import numpy as np
import psutil  # type: ignore[import-untyped]
from numpy.typing import NDArray

from benchmarks.load import Load
from benchmarks.peers.corpus import Corpus, K
from benchmarks.peers.installed import installed_version
from benchmarks.server import SERVER_CPU, Server, pin


class Zvec:
    """A worker process (zvec_worker.py) on the server's CPU; nothing goes over a socket."""

    name = "zvec, in process"
    max_connections = 1
    efforts = (40, 80, 120, 160, 200, 300, 400, 600, 800)

    def __init__(self, corpus: Corpus, python: Path) -> None:
        self._corpus = corpus
        self._python = python

    def version(self) -> str | None:
        """See Peer."""
        found = installed_version(self._python, "zvec")
        return f"zvec {found}" if found else None

    @contextmanager
    def running(self, folder: Path, effort: int) -> Iterator["_Session"]:
        """See Peer; the effort is hnsw's ef."""
        if not (folder / "queries.npy").exists():
            np.save(folder / "vectors.npy", self._corpus.vectors)
            np.save(folder / "queries.npy", self._corpus.query_vectors)
            (folder / "texts.json").write_text(json.dumps(self._corpus.texts))
        command = [str(self._python), "-m", "benchmarks.peers.zvec_worker", str(folder), str(effort), str(K)]
        with (folder / "log").open("wb") as log:
            process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=log, preexec_fn=lambda: pin(SERVER_CPU))
        try:
            yield _Session(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


class _Session:
    def __init__(self, process: "Popen[bytes]") -> None:
        assert process.stdin is not None and process.stdout is not None
        self.server = Server(psutil.Process(process.pid), 0)
        self._in: IO[bytes] = process.stdin
        self._out: IO[bytes] = process.stdout
        self._ask("neighbours")  # answered once it is ready

    def load(self) -> None:
        """By batches; without the graph a search reads all vectors."""
        self._ask("load")

    def settle(self) -> None:
        """Build the graph."""
        self._ask("optimize")

    def neighbours(self, n: int) -> NDArray[np.int64]:
        """See Session."""
        return np.array(self._ask("neighbours", n), np.int64)

    def drive(self, n: int, connections: int) -> Load:
        """See Session; one caller, whatever is asked for."""
        latencies = self._ask("latencies", n)
        return Load.of(latencies, sum(latencies))

    def _ask(self, command: str, n: int = 0) -> Any:
        self._in.write(json.dumps([command, n]).encode() + b"\n")
        self._in.flush()
        return json.loads(self._out.readline())
