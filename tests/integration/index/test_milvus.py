"""What a Milvus collection promises as a release: changes, restarts, encoders, aliases, and a server that says no."""

import random
import threading

import numpy as np
import pytest

from index.backends.milvus.index import MilvusIndex
from index.backends.milvus.releases import build_collection, collection_name, open_collection
from index.backends.milvus.server import Milvus
from index.backends.milvus.told import Note
from index.errors import (
    IndexServerAwayError,
    IndexServerRefusedError,
    InvalidIdError,
    InvalidVectorError,
    WrongDimError,
    WrongEncoderError,
)
from index.milvus_kinds import MilvusKind, MilvusSpec
from index.types import MISSING_ID, Vectors
from tests.fakes.milvus import skip_without_milvus

pytestmark = pytest.mark.slow

DIM = 12
FLAT = MilvusSpec(kind=MilvusKind.FLAT)
NO_IDS = np.empty(0, np.int64)
NO_VECTORS = np.empty((0, DIM), np.float32)


@pytest.fixture
def address(milvus: str) -> str:
    return milvus


@pytest.fixture
def server(address: str) -> Milvus:
    return Milvus(address, build_timeout_s=60)


def make_vectors(n: int, seed: int = 0, dim: int = DIM) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def build(server: Milvus, name: str, vectors: Vectors, *, seq: int = 0, encoder: str = "enc-a") -> MilvusIndex:
    ids = np.arange(len(vectors))
    return build_collection(server, name, ids, vectors, FLAT, encoder_checksum=encoder, applied_seq=seq)


def reopen(address: str, name: str) -> MilvusIndex:
    """As another process would."""
    return open_collection(Milvus(address), name, encoder_checksum="enc-a", dim=DIM)


@pytest.mark.parametrize("seed", [0])
def test_random_changes_agree_with_a_dict_at_once_and_after_reopening(server: Milvus, address: str, seed: int) -> None:
    chance = random.Random(seed)
    pool = make_vectors(300, seed)
    index = build(server, f"random_{seed}", NO_VECTORS)
    records: dict[int, int] = {}  # record id -> which vector of the pool
    log: list[tuple[list[int], list[int], list[int], int]] = []
    for step in range(30):
        upserted = chance.sample(range(40), chance.choice([0, 1, 3, 9]))
        deleted = [i for i in chance.sample(range(50), chance.choice([0, 2, 6])) if i not in upserted]
        log.append((upserted, [chance.randrange(300) for _ in upserted], deleted, len(log) + 1))
        again = log[-chance.choice([1, 1, 1, 4]) :]  # the end of the log once more is harmless
        for ids, chosen, gone, seq in again:
            index.apply(ids, pool[chosen].reshape(-1, DIM), gone, seq)
        records = {key: value for key, value in records.items() if key not in deleted}
        records.update(zip(upserted, log[-1][1], strict=True))
        if step % 10 == 9:
            index = reopen(address, f"random_{seed}")
        assert (index.applied_seq, len(index)) == (len(log), len(records))
        query, k = pool[chance.randrange(300)], chance.choice([1, 4, 60])
        allowed = None if chance.random() < 0.5 else np.array([chance.random() < 0.5 for _ in range(30)])
        scored = [
            (float(pool[vector].astype(np.float64) @ query.astype(np.float64)), record_id)
            for record_id, vector in records.items()
            if allowed is None or (record_id < len(allowed) and allowed[record_id])
        ]
        expected = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k]
        found = index.search(query[None], k, allowed)
        n = len(expected)
        assert found.record_ids[0, n:].tolist() == [MISSING_ID] * (k - n)
        assert found.scores[0, :n].tolist() == pytest.approx([score for score, _ in expected], abs=2e-6)
        assert sorted(found.record_ids[0, :n].tolist()) == sorted(record_id for _, record_id in expected) or n == k


def test_the_newest_change_is_found_at_once_and_an_older_number_does_not_go_back(server: Milvus) -> None:
    vectors = make_vectors(30)
    index = build(server, "newest", vectors[:10], seq=7)
    for number in range(10, 20):
        index.upsert([number], vectors[number : number + 1], number)
        assert index.search(vectors[number : number + 1], 1).record_ids.tolist() == [[number]]
        index.delete([number - 10], number)
        assert number - 10 not in index.search(vectors[number - 10 : number - 9], 10).record_ids
    index.upsert([12], vectors[12:13], 3)
    assert (index.applied_seq, len(index)) == (19, 10)


def test_many_changes_in_one_batch_are_sent_in_parts(server: Milvus) -> None:
    vectors = make_vectors(25_000)
    index = build(server, "parts", NO_VECTORS)
    index.apply(np.arange(25_000), vectors, NO_IDS, 1)
    index.apply(NO_IDS, NO_VECTORS, np.arange(24_000), 2)
    assert len(index) == 1_000
    found = index.search(vectors[24_000:], 1)
    assert found.record_ids[:, 0].tolist() == list(range(24_000, 25_000))


def test_a_mask_that_leaves_nothing_near_still_finds_what_is_far(server: Milvus) -> None:
    # More rows than Milvus ever answers lie between the query and what is allowed.
    near = make_vectors(18_000) * np.float32(0.2) + make_vectors(1, seed=1)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    far = -near[:4_000]
    index = build(server, "far", np.concatenate([near, far]))
    query = make_vectors(1, seed=1)
    allowed = np.arange(22_000) >= 18_000
    scores = far.astype(np.float64) @ query[0].astype(np.float64)
    found = index.search(query, 10, allowed)
    assert found.scores[0].tolist() == pytest.approx(np.sort(scores)[: -10 - 1 : -1].tolist(), abs=2e-6)
    assert found.scores[0].tolist() == pytest.approx(scores[found.record_ids[0] - 18_000].tolist(), abs=2e-6)


def test_a_change_with_a_wrong_argument_changes_nothing(server: Milvus) -> None:
    index = build(server, "refused", make_vectors(3), seq=1)
    with pytest.raises(InvalidVectorError, match="vector 0 has length 2"):
        index.upsert([5], make_vectors(1) * np.float32(2), 2)
    with pytest.raises(WrongDimError, match="13 dimensions, the index has 12"):
        index.upsert([5], make_vectors(1, dim=13), 2)
    with pytest.raises(InvalidIdError, match="record id -1 is negative"):
        index.delete([-1], 2)
    assert (len(index), index.applied_seq, index.server.read_notes("refused")[Note.APPLIED_SEQ]) == (3, 1, 1)


def test_another_encoder_or_dim_is_refused_naming_both(server: Milvus, address: str) -> None:
    name = collection_name("enc-a", "17")
    build(server, name, make_vectors(3))
    with pytest.raises(WrongEncoderError, match=rf"{name} at {address} was made by encoder enc-a \(dim 12\).* enc-b"):
        open_collection(server, name, encoder_checksum="enc-b", dim=DIM)
    with pytest.raises(WrongEncoderError, match=r"dim 12\), not by enc-a \(dim 13\)"):
        open_collection(server, name, encoder_checksum="enc-a", dim=13)


def test_what_is_not_whole_is_not_opened_but_built_anew(server: Milvus) -> None:
    with pytest.raises(IndexServerRefusedError, match="there is none: build it"):
        open_collection(server, "half", encoder_checksum="enc-a", dim=DIM)
    server.create("half", DIM, '{"samesay": 1, "encoder": "enc-a", "dim": 12}')
    with pytest.raises(IndexServerRefusedError, match="not whole: build it anew"):
        open_collection(server, "half", encoder_checksum="enc-a", dim=DIM)
    build(server, "half", make_vectors(5), seq=4)
    assert open_collection(server, "half", encoder_checksum="enc-a", dim=DIM).applied_seq == 4
    with pytest.raises(IndexServerRefusedError, match="there is one already: open it, or drop it first"):
        build(server, "half", make_vectors(5))


def test_a_collection_of_somebody_else_is_left_alone(server: Milvus) -> None:
    server.create("foreign", DIM, "theirs")
    with pytest.raises(IndexServerRefusedError, match="not of samesay's making"):
        open_collection(server, "foreign", encoder_checksum="enc-a", dim=DIM)
    with pytest.raises(IndexServerRefusedError, match="there is one already"):
        build(server, "foreign", make_vectors(5))


def test_an_alias_is_swapped_while_others_open_and_search(server: Milvus, address: str) -> None:
    # The two releases answer the same query with different records.
    vectors = make_vectors(40)
    releases = [build(server, collection_name("enc-a", str(n)), np.roll(vectors, n, axis=0)) for n in (1, 2)]
    server.point("serving", releases[0].name)
    seen: set[tuple[str, int]] = set()
    stop, failures = threading.Event(), []

    def look() -> None:
        try:
            while not stop.is_set():
                index = reopen(address, "serving")
                seen.add((index.name, int(index.search(vectors[:1], 1).record_ids[0, 0])))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for n in (1, 0, 1):
        server.point("serving", releases[n].name)
        assert reopen(address, "serving").name == releases[n].name
    stop.set()
    thread.join()
    assert not failures
    assert seen <= {(releases[0].name, 1), (releases[1].name, 2)}
    assert releases[0].search(vectors[:1], 1).record_ids.tolist() == [[1]]  # one that was opened stays what it is


def test_spec_and_recall_are_kept_with_the_collection(server: Milvus, address: str) -> None:
    vectors = make_vectors(4_000)
    spec = MilvusSpec(kind=MilvusKind.IVF_FLAT, target_recall=0.9)
    index = build_collection(server, "tuned", np.arange(4_000), vectors, spec, encoder_checksum="enc-a", applied_seq=0)
    assert 0 < index.spec.effort < index.spec.nlist == 64
    assert 0.88 <= index.index_recall < 1
    again = reopen(address, "tuned")
    assert again.spec == index.spec
    assert again.index_recall == pytest.approx(index.index_recall, abs=1e-6)


@pytest.mark.parametrize("kind", [MilvusKind.GPU_IVF_FLAT, MilvusKind.GPU_CAGRA])
def test_a_kind_that_the_server_cannot_build_is_refused_clearly(
    server: Milvus, kind: MilvusKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.backends.milvus.releases.TRY_S", 5.0)
    spec = MilvusSpec(kind=kind)
    with pytest.raises(IndexServerRefusedError, match=f"refused to build an index of kind {kind}: "):
        build_collection(
            server, f"no_{kind}", np.arange(3_000), make_vectors(3_000), spec, encoder_checksum="a", applied_seq=0
        )


def test_nobody_at_the_address_is_said_with_the_address() -> None:
    skip_without_milvus()
    with pytest.raises(IndexServerAwayError, match=r"http://127\.0\.0\.1:9 did not .* see that it runs"):
        Milvus("http://127.0.0.1:9", timeout_s=2).list_names("")
    with pytest.raises(IndexServerRefusedError, match=r"127\.0\.0\.1:9 refused to let us in: .*http"):
        Milvus("127.0.0.1:9", timeout_s=2).list_names("")
