"""pgvector on PostgreSQL: HNSW over inner products, prepared statements, binary embeddings, one connection a client."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

from benchmarks.load import Load
from benchmarks.peers.corpus import Corpus, K
from benchmarks.peers.postgres import find_binaries, postgres_server, postgres_version, url_of
from benchmarks.server import Server

QUERY = f"SELECT id, text FROM record ORDER BY vector <#> %b LIMIT {K}"

SETTINGS = {"shared_buffers": "1GB", "maintenance_work_mem": "1GB", "max_parallel_maintenance_workers": "0"}
"""What its documentation advises: the table and the graph fit into memory. There is one CPU."""


class PgVector:
    """COPY in, one graph built afterwards."""

    name = "pgvector"
    max_connections = 32
    efforts = (40, 80, 120, 160, 200, 300, 400, 600, 800)

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._binaries = find_binaries()

    def version(self) -> str | None:
        """See Peer."""
        if self._binaries is None:
            return None
        for control in self._binaries.parent.rglob("vector.control"):
            found = re.search(r"default_version = '(.*)'", control.read_text())
            return f"pgvector {found[1] if found else '?'} on {postgres_version(self._binaries)}"
        return None

    @contextmanager
    def running(self, folder: Path, effort: int) -> Iterator["_Session"]:
        """See Peer; the effort is hnsw.ef_search."""
        assert self._binaries is not None
        with postgres_server(self._binaries, folder, {**SETTINGS, "hnsw.ef_search": str(effort)}) as server:
            yield _Session(server, self._corpus)


class _Session:
    def __init__(self, server: Server, corpus: Corpus) -> None:
        self.server = server
        self._corpus = corpus
        self._queries = [_Vector(vector) for vector in corpus.query_vectors]
        self._url = url_of(server.port)

    def load(self) -> None:
        """By one COPY; without the graph a search reads the whole table."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
            columns = f"id bigint PRIMARY KEY, text text, vector vector({self._corpus.dim})"
            connection.execute(f"CREATE TABLE record ({columns})".encode())
            oid = _oid(connection)
            _know_vectors(connection, oid)
            with connection.cursor().copy("COPY record FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "text", oid])
                for number, (text, vector) in enumerate(zip(self._corpus.texts, self._corpus.vectors, strict=True)):
                    copy.write_row((number, text.replace("\0", " "), _Vector(vector)))

    def settle(self) -> None:
        """Build the graph, with pgvector's own parameters."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("CREATE INDEX ON record USING hnsw (vector vector_ip_ops)")
            connection.execute("VACUUM ANALYZE record")

    def neighbours(self, n: int) -> NDArray[np.int64]:
        """See Session."""
        found = np.full((n, K), -1)
        with psycopg.connect(self._url, autocommit=True) as connection:
            _know_vectors(connection, _oid(connection))
            for row, query in enumerate(self._queries[:n]):
                ids = [number for number, _ in connection.execute(QUERY, (query,), prepare=True, binary=True)]
                found[row, : len(ids)] = ids
        return found

    def drive(self, n: int, connections: int) -> Load:
        """See Session."""
        return asyncio.run(self._drive(n, connections))

    async def _drive(self, n: int, connections: int) -> Load:
        opened = [await psycopg.AsyncConnection.connect(self._url, autocommit=True) for _ in range(connections)]
        with psycopg.connect(self._url) as connection:
            oid = _oid(connection)
        for each in opened:
            _know_vectors(each, oid)
            await each.execute(QUERY, (self._queries[0],), prepare=True, binary=True)
        turns, latencies = iter(range(n)), []

        async def keep_asking(connection: psycopg.AsyncConnection) -> None:
            for turn in turns:
                begun = time.perf_counter()
                query = self._queries[turn % len(self._queries)]
                await (await connection.execute(QUERY, (query,), prepare=True, binary=True)).fetchall()
                latencies.append(time.perf_counter() - begun)

        started = time.perf_counter()
        await asyncio.gather(*(keep_asking(connection) for connection in opened))
        seconds = time.perf_counter() - started
        for each in opened:
            await each.close()
        return Load.of(latencies, seconds)


class _Vector:
    """An embedding in pgvector's binary form: dim, a zero, then the numbers, most significant byte first."""

    __slots__ = ("data",)

    def __init__(self, vector: NDArray[np.float32]) -> None:
        self.data = np.array([len(vector), 0], ">i2").tobytes() + vector.astype(">f4").tobytes()


class _VectorDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Vector) -> bytes:
        return obj.data


def _oid(connection: "psycopg.Connection[tuple[object, ...]]") -> int:
    row = connection.execute("SELECT 'vector'::regtype::oid::int").fetchone()
    assert row is not None
    return int(str(row[0]))


def _know_vectors(connection: "psycopg.Connection | psycopg.AsyncConnection", oid: int) -> None:
    dumper = type("VectorDumper", (_VectorDumper,), {"oid": oid})
    connection.adapters.register_dumper(_Vector, dumper)
