"""The review queue over a real socket: against the definition over the encoder's own embeddings and :classify."""

import math
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.feedback import service as feedback_service
from model.contract.bundle import load_bundle
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running
from tests.integration.app.feedback.test_kept_queries import Kept
from tests.unit.app.feedback.test_clustering import by_definition

WORDS = "refund money back card login password order late cancel weather song 退款 登录".split()  # noqa: SIM905


def queue(kept: Kept, **parameters: int) -> dict[str, Any]:
    kept.service.container.keeper.flush()
    return dict(kept.client.get(f"{kept.place}/feedback/clusters", params=parameters).raise_for_status().json())


def fill(kept: Kept, rng: random.Random) -> None:
    """Queries that were asked more or less often, some feedback beside them, and some that was resolved."""
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 4))) for _ in range(60)]
    kept.offer(texts + rng.choices(texts, k=60))
    for text in rng.choices(texts, k=12):
        verdict = rng.choice(["right_group", "out_of_scope", "wrong_answer"])
        group = {"group": f"g{rng.randrange(2)}"} if verdict == "right_group" else {}
        body = {"text": text, "verdict": verdict, **group}
        kept.client.post(f"{kept.place}/feedback", json=body).raise_for_status()
    done = queue(kept, limit=1)["clusters"][0]["items"]
    body = {"ids": [item["id"] for item in done], "state": "rejected"}
    kept.client.post(f"{kept.place}/feedback:resolve", json=body).raise_for_status()


@pytest.mark.parametrize("seed", [1, 2])
def test_clusters_are_those_of_the_definition(shared_service: Running, tiny_bundle: Path, seed: int) -> None:
    kept = Kept(shared_service, keep_queries="unmatched")
    records = {"r1": ("I want my money back", "refund"), "r2": ("cannot login password", "login"), "r3": ("song", "s")}
    upsert = [{"id": key, "text": text, "group": group} for key, (text, group) in records.items()]
    kept.client.post(f"{kept.place}/records:batch?wait=visible", json={"upsert": upsert}).raise_for_status()
    fill(kept, random.Random(seed))
    kept.set(keep_queries="off")  # what is classified below shall not be kept
    found = queue(kept, limit=1000)
    items = [
        item
        for item in kept.client.get(f"{kept.place}/feedback?limit=1000").json()["items"]
        if item["state"] == "pending"
    ]
    items.reverse()  # the newest first, also of those that were seen at the same moment
    items.sort(key=lambda item: (item["count"], datetime.fromisoformat(item["last_seen_at"])), reverse=True)
    assert (found["pending"], found["considered"]) == (len(items), len(items))
    assert (found["threshold"], found["release"]) == (0.6, 1)
    assert len(items) > 30

    encoder, texts = load_bundle(tiny_bundle).encoder, [item["text"] for item in items]
    embeddings = encoder.encode(texts)
    cosines = embeddings @ embeddings.T
    assert np.abs(cosines - 0.6).min() > 1e-5, "else rounding may decide"
    expected = by_definition(cosines, 0.6)
    by_leader = {cluster["items"][0]["id"]: cluster for cluster in found["clusters"]}
    assert {tuple(item["id"] for item in cluster["items"]) for cluster in found["clusters"]} == {
        tuple(items[row]["id"] for row in rows) for rows in expected
    }
    assert 5 < len(expected) < len(items)
    classified = kept.client.post(f"{kept.place}:classify", json={"texts": texts, "top_n": 100}).json()["results"]
    groups = sorted({group for _, group in records.values()})
    for rows in expected:
        cluster, leader = by_leader[items[rows[0]]["id"]], rows[0]
        assert cluster["text"] == texts[leader]
        counts = [items[row]["count"] for row in rows]
        unsure = [1.0 if items[row]["verdict"] else 1 - classified[row]["confidence"] for row in rows]
        uncertainty = float(np.average(unsure, weights=counts))
        assert (cluster["size"], cluster["count"]) == (len(rows), sum(counts))
        assert cluster["uncertainty"] == pytest.approx(uncertainty, abs=3e-6)  # the confidences are rounded too
        assert cluster["priority"] == pytest.approx((1 + uncertainty) * math.log2(1 + sum(counts)), abs=3e-5)
        assert [item["score"] for item in cluster["items"]] == pytest.approx(
            [float(cosines[leader][row]) for row in rows], abs=2e-6
        )
        assert cluster["decision"] == classified[leader]["decision"]
        assert [near["group"] for near in cluster["groups"]] == [
            near["group"] for near in classified[leader]["groups"][:3]
        ]
        nearest = {
            group: float(
                max(encoder.encode([text for text, of in records.values() if of == group]) @ embeddings[leader])
            )
            for group in groups
        }
        assert all(near["score"] == pytest.approx(nearest[near["group"]], abs=2e-6) for near in cluster["groups"])
    order = [(-cluster["priority"], -cluster["count"], cluster["items"][0]["id"]) for cluster in found["clusters"]]
    assert order == sorted(order)
    assert found == queue(kept, limit=1000), "the same items in the same order give the same clusters"
    assert queue(kept, limit=3)["clusters"] == found["clusters"][:3]


def test_only_so_many_items_are_looked_at(shared_service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback_service, "MOST_REVIEWED", 4)
    kept = Kept(shared_service, keep_queries="unmatched")
    kept.offer([f"question {n}" for n in range(9) for _ in range(9 - n)])
    found = queue(kept)
    assert (found["pending"], found["considered"]) == (9, 4)
    assert {item["text"] for cluster in found["clusters"] for item in cluster["items"]} == {
        f"question {n}" for n in range(4)
    }


def test_an_empty_queue_is_empty(shared_service: Running, collection: str) -> None:
    found = shared_service.client.get(f"/v1/collections/{collection}/feedback/clusters").json()
    assert (found["pending"], found["considered"], found["clusters"]) == (0, 0, [])
    nobody = shared_service.client.get("/v1/collections/nobody/feedback/clusters")
    assert_problem(nobody, 404, "not_found")


def test_too_many_queues_at_once_are_refused(
    shared_service: Running, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_service, "MOST_REVIEWS", 0)
    refused = shared_service.client.get(f"/v1/collections/{collection}/feedback/clusters")
    assert_problem(refused, 503, "overloaded")
