"""What the benchmarks measure with: the load generator against a server that counts, recall against sets."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.disturbance import Searcher, write_steadily
from benchmarks.load import Load, answers, get, post, run_requests
from benchmarks.peers import txtai_vectors
from benchmarks.peers.corpus import Corpus, K

HOST = "127.0.0.1"


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append((self.client_address, body))
        self.send_response(500 if body == b"bad" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[Any]:
    """A server that answers with what it was sent, and remembers who sent what in `bodies`."""
    server: Any = ThreadingHTTPServer((HOST, 0), _Echo)
    server.bodies = []
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_load_sends_each_request_in_turn_over_so_many_connections(echo: Any) -> None:
    requests = [post(HOST, "/", str(number).encode()) for number in range(10)]
    load = run_requests(HOST, echo.server_port, requests, n=25, connections=4)
    assert load.n == 25
    assert 0 < load.p50_ms <= load.p99_ms <= 1000 * load.seconds
    assert Counter(body for _, body in echo.bodies) == {str(n).encode(): 3 if n < 5 else 2 for n in range(10)}
    assert len({who for who, _ in echo.bodies}) == 4


def test_an_answer_that_is_no_success_ends_a_load(echo: Any) -> None:
    with pytest.raises(RuntimeError, match="500"):
        run_requests(HOST, echo.server_port, [post(HOST, "/", b"bad")], n=3, connections=1)
    with pytest.raises(RuntimeError, match="501"):
        answers(HOST, echo.server_port, [get(HOST, "/")])


def test_answers_come_in_the_order_of_their_requests(echo: Any) -> None:
    assert answers(HOST, echo.server_port, [post(HOST, "/", body) for body in (b"b", b"a", b"b")]) == [b"b", b"a", b"b"]


def test_percentiles_are_those_of_the_sorted_latencies() -> None:
    load = Load.of([0.001 * number for number in range(101)], seconds=2.0)
    assert load.p50_ms == pytest.approx(50)
    assert load.p99_ms == pytest.approx(99)
    assert load.per_s == pytest.approx(50.5)


def test_searches_are_kept_under_the_phase_in_which_they_began(echo: Any) -> None:
    searcher = Searcher(echo.server_port, [post(HOST, "/", b"search")], 2)
    writes = [post(HOST, "/", b"write")] * 3

    async def nothing() -> None:
        await asyncio.sleep(0.05)

    phases = (("idle", nothing), ("", nothing), ("writing", lambda: write_steadily(echo.server_port, writes, 0.02)))
    loads = asyncio.run(searcher.run_phases(phases))
    assert set(loads) == {"idle", "writing"}
    sent = Counter(body for _, body in echo.bodies)
    assert sent[b"write"] == 3
    assert 0 < loads["idle"].n + loads["writing"].n < sent[b"search"]
    assert loads["writing"].seconds >= 0.04


def test_searches_keep_to_their_rate(echo: Any) -> None:
    searcher = Searcher(echo.server_port, [post(HOST, "/", b"search")], 2, per_s=100)
    load = asyncio.run(searcher.run_phases([("idle", lambda: asyncio.sleep(0.3))]))["idle"]
    assert 2 <= load.n <= 32  # both connections, not more than in time; fewer on a busy machine


def test_index_recall_is_the_share_of_the_exact_neighbours() -> None:
    random = np.random.default_rng(0)
    vectors = _unit(random.standard_normal((50, 8)))
    queries = _unit(random.standard_normal((20, 8)))
    scores = queries @ vectors.T
    exact = np.argsort(-scores, axis=1)
    corpus = Corpus(
        texts=[""] * 50,
        vectors=vectors,
        queries=[""] * 20,
        query_vectors=queries,
        floors=np.sort(scores, axis=1)[:, -K],
    )
    found = exact[:, :K].copy()
    assert corpus.index_recall(found) == 1
    found[:10, 3:5] = exact[:10, 20:22]
    found[10:, 0] = -1
    shares = [len({*row} & {*wanted[:K]}) / K for row, wanted in zip(found.tolist(), exact.tolist(), strict=True)]
    assert corpus.index_recall(found) == pytest.approx(sum(shares) / 20)


def test_txtai_is_given_the_vectors_of_its_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"sentence {number}" for number in range(100)]
    vectors = np.random.default_rng(0).standard_normal((100, 6)).astype(np.float32)
    txtai_vectors.save(texts, [vectors[:70], vectors[70:]], tmp_path)
    monkeypatch.setenv(txtai_vectors.FOLDER, str(tmp_path))
    np.testing.assert_array_equal(txtai_vectors.lookup([texts[80], texts[3]]), vectors[[80, 3]])
    with pytest.raises(KeyError):
        txtai_vectors.lookup([texts[0], "a stranger"])


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
