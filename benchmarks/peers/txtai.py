"""txtai's API server: its default index (FAISS IVF), sentences in SQLite, embeddings looked up, not made."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import orjson

from benchmarks.load import get
from benchmarks.peers.corpus import Corpus, K
from benchmarks.peers.http_session import HttpQueries
from benchmarks.peers.installed import installed_version
from benchmarks.peers.txtai_vectors import FOLDER, save
from benchmarks.server import HOST, SERVER_CPU, Server, foreign_server, free_port

BATCH = 1_000

CONFIG = """\
writable: true
path: {index}
embeddings:
  method: external
  transform: benchmarks.peers.txtai_vectors.lookup
  content: true
"""


class Txtai:
    """`uvicorn txtai.api:app`."""

    name = "txtai's API server"
    max_connections = 32
    efforts = (79, 120, 160, 240, 320, 480, 640)

    def __init__(self, corpus: Corpus, python: Path) -> None:
        self._corpus = corpus
        self._python = python

    def version(self) -> str | None:
        """See Peer."""
        found = installed_version(self._python, "txtai")
        return f"txtai {found}" if found else None

    @contextmanager
    def running(self, folder: Path, effort: int) -> Iterator["_Session"]:
        """See Peer; the effort is nprobe, the lists looked into, which it reads when it starts."""
        if not (folder / "config.yml").exists():
            save(self._corpus.texts + self._corpus.queries, [self._corpus.vectors, self._corpus.query_vectors], folder)
            (folder / "config.yml").write_text(CONFIG.format(index=folder / "index"))
        _set_nprobe(folder / "index" / "config.json", effort)
        port = free_port()
        command = [str(self._python), "-m", "uvicorn", "txtai.api:app", "--host", HOST, "--port", str(port)]
        env = {
            "CONFIG": str(folder / "config.yml"),
            "ALLOW_RESOLVE_TRANSFORM": "True",
            FOLDER: str(folder),
            "OMP_NUM_THREADS": "1",
        }
        command += ["--log-level", "warning", "--no-access-log"]
        with foreign_server(command, port, log=folder / "log", cpu=SERVER_CPU, env=env) as server:
            yield _Session(server, self._corpus)


class _Session(HttpQueries):
    def __init__(self, server: Server, corpus: Corpus) -> None:
        self._corpus = corpus
        requests = [get(HOST, f"/search?limit={K}&query={quote(query)}") for query in corpus.queries]
        super().__init__(server, requests, _ids_of)

    def load(self) -> None:
        """By batches that it buffers, then `/index`."""
        with httpx.Client(base_url=self.server.url, timeout=600) as client:
            for start in range(0, len(self._corpus.texts), BATCH):
                part = enumerate(self._corpus.texts[start : start + BATCH], start)
                client.post(
                    "/add", json=[{"id": str(number), "text": text} for number, text in part]
                ).raise_for_status()
            client.get("/index").raise_for_status()

    def settle(self) -> None:
        """Nothing to be told."""


def _set_nprobe(file: Path, nprobe: int) -> None:
    if file.exists():
        config = json.loads(file.read_text())
        file.write_text(json.dumps({**config, "faiss": {"nprobe": nprobe}}))


def _ids_of(body: bytes) -> list[int]:
    return [int(found["id"]) for found in orjson.loads(body)]
