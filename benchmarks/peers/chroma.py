"""Chroma's server: HNSW over cosines, embeddings given with the query, sentences taken out."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson

from benchmarks.load import post
from benchmarks.peers.corpus import Corpus, K
from benchmarks.peers.http_session import HttpQueries
from benchmarks.peers.installed import installed_version
from benchmarks.server import HOST, SERVER_CPU, Server, foreign_server, free_port

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
BATCH = 1_000


class Chroma:
    """`chroma run`; embeddings go in as base64, as its own client sends them."""

    name = "Chroma's server"
    max_connections = 32
    efforts = (100, 150, 200, 300, 400, 600, 800)

    def __init__(self, corpus: Corpus, python: Path) -> None:
        self._corpus = corpus
        self._python = python

    def version(self) -> str | None:
        """See Peer."""
        found = installed_version(self._python, "chromadb")
        return f"chromadb {found}" if found else None

    @contextmanager
    def running(self, folder: Path, effort: int) -> Iterator["_Session"]:
        """See Peer; the effort is hnsw's ef_search."""
        port = free_port()
        program = str(self._python.with_name("chroma"))
        command = [program, "run", "--path", str(folder / "data"), "--host", HOST, "--port", str(port)]
        env = {"ANONYMIZED_TELEMETRY": "False", "NO_COLOR": "1"}
        with foreign_server(command, port, log=folder / "log", cpu=SERVER_CPU, env=env) as server:
            yield _Session(server, self._corpus, effort)


class _Session(HttpQueries):
    def __init__(self, server: Server, corpus: Corpus, effort: int) -> None:
        self._corpus = corpus
        self._client = httpx.Client(base_url=server.url, timeout=600)
        self._effort = effort
        self._id = self._tuned_collection()
        bodies = (
            {"query_embeddings": [vector], "n_results": K, "include": ["documents", "distances"]}
            for vector in corpus.query_vectors
        )
        path = f"{COLLECTIONS}/{self._id}/query"
        requests = [post(HOST, path, orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)) for body in bodies]
        super().__init__(server, requests, _ids_of)

    def load(self) -> None:
        """By batches; the graph is built as they come, what is left with the first search."""
        vectors = self._corpus.vectors.astype("<f4")
        for start in range(0, len(vectors), BATCH):
            part = range(start, min(start + BATCH, len(vectors)))
            body = {
                "ids": [str(number) for number in part],
                "embeddings": [base64.b64encode(vectors[number].tobytes()).decode() for number in part],
                "documents": [self._corpus.texts[number] for number in part],
            }
            self._client.post(f"{COLLECTIONS}/{self._id}/add", json=body).raise_for_status()
        self.neighbours(1)

    def settle(self) -> None:
        """Nothing to be told."""

    def _tuned_collection(self) -> str:
        """The collection's id, the collection made where it is not there."""
        body = {
            "name": "bench",
            "get_or_create": True,
            "configuration": {"hnsw": {"space": "cosine", "ef_search": self._effort}},
        }
        made = self._client.post(COLLECTIONS, json=body).raise_for_status().json()
        tuned = {"new_configuration": {"hnsw": {"ef_search": self._effort}}}
        self._client.put(f"{COLLECTIONS}/{made['id']}", json=tuned).raise_for_status()
        return str(made["id"])


def _ids_of(body: bytes) -> list[int]:
    return [int(found) for found in orjson.loads(body)["ids"][0]]
