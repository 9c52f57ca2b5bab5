"""Large indexes on a real Milvus: a whole life of a server, a kill in the middle of a build, Milvus gone and back."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app.settings import Settings
from index.backends.milvus.server import Milvus
from index.spec import EXACT_LIMIT_FLOATS
from model.contract.bundle import load_bundle
from tests.conftest import add_encoder
from tests.fakes.milvus import milvus_server, skip_without_milvus
from tests.fakes.running import make_settings, running, wait_for
from tests.fakes.spawned import spawned
from tests.fakes.tiny_bundle import make_tiny_bundle

pytestmark = pytest.mark.slow

DIM = 512
N = EXACT_LIMIT_FLOATS // DIM + 200
"""Just large enough not to be searched exactly."""

RECALL = 0.95
"""The target is .99; of 40 queries of 10, with room for chance."""

PLACE = "/v1/collections/faq"
TEXTS = {f"r{n}": f"sentence {n} of {n % 7} and {n % 13} word{n * 7919 % 1000}" for n in range(N)}
QUERIES = [f"sentence {n} of {n % 7} and {n % 11} word{n * 7919 % 1000}" for n in range(0, 4_000, 100)]
"""Like what is stored, as the queries are that an index is tuned with."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two encoders."""
    folder = tmp_path_factory.mktemp("bundles")
    for seed, name in enumerate(("wide", "other")):
        make_tiny_bundle(folder / name, dim=DIM, seed=seed)
    return {name: folder / name for name in ("wide", "other")}


def make(data: Path, address: str, bundles: Mapping[str, Path]) -> Settings:
    settings = make_settings(data, index_server=address)
    for name, bundle in bundles.items():
        add_encoder(settings, bundle, name)
    return settings


def fill(client: httpx.Client) -> None:
    client.post("/v1/collections", json={"name": "faq", "encoder": "wide"}).raise_for_status()
    records = [{"id": key, "text": text, "group": f"g{n % 50}"} for n, (key, text) in enumerate(TEXTS.items())]
    for start in range(0, N, 1000):
        body = {"upsert": records[start : start + 1000]}
        client.post(f"{PLACE}/records:batch", json=body, params={"wait": "visible"}).raise_for_status()


def is_on_milvus(client: httpx.Client) -> bool:
    index = client.get(PLACE).json()["index"]
    return index is not None and index["kind"] == "milvus_ivf_flat" and index["uncompacted"] == 0


def wait_for_job(client: httpx.Client, answer: httpx.Response) -> None:
    job = answer.json()["id"]
    wait_for(lambda: client.get(f"/v1/jobs/{job}").json()["state"] not in ("queued", "running"), 90)
    ended = client.get(f"/v1/jobs/{job}").json()
    assert ended["state"] == "succeeded", ended


def ask(client: httpx.Client, queries: list[str], k: int = 10, **more: object) -> list[list[dict[str, Any]]]:
    answer = client.post(f"{PLACE}:search", json={"queries": queries, "k": k, **more})
    assert answer.status_code == 200, answer.text
    results: list[list[dict[str, Any]]] = answer.json()["results"]
    return results


class Truth:
    """What the encoder and a product of matrices say."""

    def __init__(self, bundle: Path, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)
        encoder = load_bundle(bundle).encoder
        vectors = encoder.encode(list(self.texts.values())).astype(np.float64)
        self.scores: NDArray[np.float64] = encoder.encode(QUERIES).astype(np.float64) @ vectors.T

    def recall(self, results: list[list[dict[str, Any]]], k: int = 10, only: NDArray[np.bool_] | None = None) -> float:
        """index_recall@k of the answers to QUERIES, whose own scores and texts must be right."""
        row_of, shares = {key: row for row, key in enumerate(self.texts)}, []
        for scores, found in zip(self.scores, results, strict=True):
            rows = [row_of[one["id"]] for one in found]
            assert [one["score"] for one in found] == pytest.approx(scores[rows].tolist(), abs=3e-6)
            assert [one["text"] for one in found] == [self.texts[one["id"]] for one in found]
            assert len(set(rows)) == len(rows) == k
            floor = np.sort(scores if only is None else scores[only])[-k] - 1e-6
            shares.append((scores[rows] >= floor).mean())
        return float(np.mean(shares))


def collections_of(server: Milvus, data: Path) -> list[str]:
    """What the database of this folder has there."""
    database_id = (data / "database").read_text().strip()
    return server.list_names(f"samesay_{database_id[:16]}_")


def test_a_whole_life(milvus: str, tmp_path: Path, bundles: dict[str, Path]) -> None:
    settings, server = make(tmp_path / "data", milvus, bundles), Milvus(milvus)
    with running(settings) as service:
        client = service.client
        fill(client)
        wait_for(lambda: is_on_milvus(client), 180)
        assert client.get(PLACE).json()["index_recall"] >= RECALL
        truth = Truth(bundles["wide"], TEXTS)
        assert truth.recall(ask(client, QUERIES)) >= RECALL
        in_group = np.array([n % 50 in (3, 4) for n in range(N)])
        filtered = ask(client, QUERIES, filter={"group": {"in": ["g3", "g4"]}})
        assert truth.recall(filtered, only=in_group) >= RECALL

        # changes are seen at once, and as well once they are on the server
        client.put(f"{PLACE}/records/r3", json={"text": "entirely different zebra"}, params={"wait": "visible"})
        client.put(f"{PLACE}/records/new", json={"text": "quite new okapi"}, params={"wait": "visible"})
        client.delete(f"{PLACE}/records/r4", params={"wait": "visible"}).raise_for_status()
        texts = {**TEXTS, "r3": "entirely different zebra", "new": "quite new okapi"}
        del texts["r4"]
        truth = Truth(bundles["wide"], texts)
        for _ in range(2):
            assert truth.recall(ask(client, QUERIES)) >= RECALL
            nearest = ask(client, ["entirely different zebra", "quite new okapi"], k=1)
            assert [(found[0]["id"], found[0]["score"]) for found in nearest] == [("r3", 1.0), ("new", 1.0)]
            wait_for_job(client, client.post(f"{PLACE}:compact"))
        (first,) = collections_of(server, settings.data)
        assert server.count(first) == len(texts)

        # another encoder: another collection, and the alias moves to it
        alias = first.rpartition("_")[0]
        wait_for(lambda: _meaning(server, alias) == first)
        gate = {"alpha": 1e-300, "above_chance": False}
        wait_for_job(client, client.post(f"{PLACE}/releases", json={"encoder": "other", "gate": gate}))
        assert client.get(PLACE).json()["active_release"] == 2
        assert Truth(bundles["other"], texts).recall(ask(client, QUERIES)) >= RECALL
        (second,) = set(collections_of(server, settings.data)) - {first}
        wait_for(lambda: _meaning(server, alias) == second)
        client.post(f"{PLACE}/releases/2:rollback").raise_for_status()
        wait_for(lambda: _meaning(server, alias) == first)
        assert truth.recall(ask(client, QUERIES)) >= RECALL

    encoded_at_start = time.monotonic()
    with running(settings) as service:
        assert time.monotonic() - encoded_at_start < 20
        assert truth.recall(ask(service.client, QUERIES)) >= RECALL
        assert collections_of(server, settings.data) == sorted((first, second))
        service.client.delete(PLACE).raise_for_status()
        wait_for(lambda: collections_of(server, settings.data) == [])
    assert _meaning(server, alias) is None


def _meaning(server: Milvus, alias: str) -> str | None:
    found = server.find(alias)
    return None if found is None else found.name


def test_a_kill_in_the_middle_of_a_build(milvus: str, tmp_path: Path, bundles: dict[str, Path]) -> None:
    settings, server = make(tmp_path / "data", milvus, bundles), Milvus(milvus)
    environment = {"SAMESAY_INDEX_SERVER": milvus}
    with spawned(settings.data, **environment) as started, started.client() as client:
        fill(client)
        wait_for(lambda: collections_of(server, settings.data), 180)
        started.process.kill()
        started.process.wait()
    (half,) = collections_of(server, settings.data)
    with spawned(settings.data, **environment) as started, started.client() as client:
        truth = Truth(bundles["wide"], TEXTS)
        wait_for(lambda: client.get(PLACE).json()["index"] is not None, 60)
        assert truth.recall(ask(client, QUERIES)) >= RECALL
        wait_for(lambda: is_on_milvus(client), 180)
        assert truth.recall(ask(client, QUERIES)) >= RECALL
        wait_for(lambda: half not in collections_of(server, settings.data))
        assert len(collections_of(server, settings.data)) == 1


def test_milvus_goes_and_comes_back(tmp_path: Path, bundles: dict[str, Path]) -> None:
    skip_without_milvus()
    folder = tmp_path / "milvus"
    folder.mkdir()
    with ExitStack() as stack:
        with milvus_server(folder) as address:
            service = stack.enter_context(running(make(tmp_path / "data", address, bundles)))
            client = service.client
            fill(client)
            wait_for(lambda: is_on_milvus(client), 180)
        truth = Truth(bundles["wide"], {**TEXTS, "late": "came meanwhile okapi"})
        told = client.post(f"{PLACE}:search", json={"query": "anything"})
        assert (told.status_code, told.json()["code"]) == (503, "index_unavailable")
        assert address in told.json()["detail"]
        started = time.monotonic()
        assert client.post(f"{PLACE}:search", json={"query": "anything"}).status_code == 503
        assert time.monotonic() - started < 2, "who knows that it is away does not wait for it"
        stored = client.put(f"{PLACE}/records/late", json={"text": "came meanwhile okapi"}, params={"wait": "visible"})
        assert stored.json()["visible"] is True
        with milvus_server(folder, int(address.rpartition(":")[2])):
            wait_for(lambda: client.post(f"{PLACE}:search", json={"query": "x"}).status_code == 200, 60)
            assert truth.recall(ask(client, QUERIES)) >= RECALL
            assert ask(client, ["came meanwhile okapi"], k=1)[0][0]["id"] == "late"
            wait_for_job(client, client.post(f"{PLACE}:compact"))
            assert truth.recall(ask(client, QUERIES)) >= RECALL
            stack.close()
