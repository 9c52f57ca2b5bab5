"""This service. It is given sentences, which it encodes; the others are given embeddings."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import orjson

from benchmarks.filling import PATH, create, fill
from benchmarks.load import post
from benchmarks.peers.corpus import Corpus, K
from benchmarks.peers.http_session import HttpQueries
from benchmarks.server import HOST, SERVER_CPU, Server, add_encoder, samesay_server


class Samesay:
    """`samesay serve`; the index tunes itself, so that there is nothing to raise."""

    name = "samesay, text in"
    max_connections = 32
    efforts = (0,)

    def __init__(self, corpus: Corpus, bundle: Path) -> None:
        self._corpus = corpus
        self._bundle = bundle

    def version(self) -> str | None:
        """See Peer."""
        return version("samesay")

    @contextmanager
    def running(self, folder: Path, effort: int) -> Iterator["_Session"]:
        """See Peer."""
        if not (folder / "encoders").exists():
            add_encoder(self._bundle, folder)
        with samesay_server(folder, cpu=SERVER_CPU) as server:
            yield _Session(server, self._corpus)


class _Session(HttpQueries):
    def __init__(self, server: Server, corpus: Corpus) -> None:
        requests = [post(HOST, f"{PATH}:search", orjson.dumps({"query": query, "k": K})) for query in corpus.queries]
        super().__init__(server, requests, _ids_of)
        self._corpus = corpus

    def load(self) -> None:
        """By records:batch."""
        create(self.server.url)
        fill(self.server.url, self._corpus.texts)

    def settle(self) -> None:
        """It compacts by itself."""


def _ids_of(body: bytes) -> list[int]:
    return [int(found["id"]) for found in orjson.loads(body)["results"][0]]
