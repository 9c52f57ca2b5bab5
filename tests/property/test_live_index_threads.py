"""A LiveIndex searched by several threads while another writes and one compacts: no answer shows a change in part."""

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from index.factory import build
from index.spec import IndexKind, IndexSpec
from index.types import MISSING_ID, Vectors
from tests.fakes.compacting import CompactingIndex
from tests.fakes.live_rows import live_rows

TOLERANCE = 2e-6


class Followed:
    """What readers may rely on while a writer works: grows only, and is read without a lock."""

    def __init__(self) -> None:
        self.added: list[int] = []
        self.deleted: list[int] = []
        self.compacted = threading.Semaphore(0)
        self.done = threading.Event()


def read(index: CompactingIndex, vectors: Vectors, fixed: int, followed: Followed, seed: int) -> int:
    """Search until the writer is done, and check every answer against what was certain before it began."""
    chance = random.Random(seed)
    n_answers = 0
    while not followed.done.is_set():
        gone, there = set(followed.deleted[:]), followed.added[:]
        recent = there[-20:] or [0]
        asked = [chance.randrange(fixed), chance.choice(recent), chance.choice(recent)]
        found = index.search(vectors[asked], 5)
        gone_after = set(followed.deleted[:])
        for record_id, ids, scores in zip(asked, found.record_ids.tolist(), found.scores[:, 0], strict=True):
            assert MISSING_ID not in ids
            assert len(set(ids)) == len(ids), "no record twice"
            assert not gone & set(ids), "nothing that was deleted before the search began"
            if record_id < fixed or record_id not in gone_after:
                assert ids[0] == record_id, "nothing missing that was there all the time"
                assert scores == pytest.approx(1.0, abs=TOLERANCE)
        n_answers += 1
    return n_answers


def write(index: CompactingIndex, vectors: Vectors, fixed: int, batches: int, followed: Followed) -> None:
    """Add ten records a batch, move the fixed ones from base to delta by turns, and delete the oldest."""
    chance = random.Random(0)
    for batch in range(batches):
        if batch % (batches // 3) == 1:
            assert followed.compacted.acquire(timeout=60)
        fresh = np.arange(fixed + 10 * batch, fixed + 10 * batch + 10)
        again = np.array([chance.randrange(fixed) for _ in range(3)])
        nudged = vectors[again].copy()
        nudged[:, 0] += np.float32(1e-6)  # another vector to the index, the same to the reader's tolerance
        index.apply(np.concatenate([fresh, again]), np.concatenate([vectors[fresh], nudged]), [], 2 * batch + 1)
        followed.added.extend(fresh.tolist())
        if batch >= 5:
            oldest = fresh - 50
            # Announced in `deleted` only once the call has returned.
            index.delete(oldest, 2 * batch + 2)
            followed.deleted.extend(oldest.tolist())


def compact_until_done(index: CompactingIndex, followed: Followed) -> int:
    n_compactions = 0
    while not followed.done.wait(0.01):
        index.compact()
        followed.compacted.release()
        n_compactions += 1
    return n_compactions


@pytest.mark.parametrize(("kind", "fixed", "batches"), [(IndexKind.EXACT, 300, 600), (IndexKind.IVF_PQ, 3_000, 250)])
def test_readers_never_see_a_change_in_part(kind: IndexKind, fixed: int, batches: int) -> None:
    vectors = np.random.default_rng(1).standard_normal((fixed + 10 * batches, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    spec = IndexSpec(kind=kind)
    index = CompactingIndex(build(np.arange(fixed), vectors[:fixed], spec), choose=lambda n, dim: spec)
    followed = Followed()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with ThreadPoolExecutor(max_workers=5) as pool:
            readers = [pool.submit(read, index, vectors, fixed, followed, seed) for seed in range(3)]
            compactions = pool.submit(compact_until_done, index, followed)
            try:
                pool.submit(write, index, vectors, fixed, batches, followed).result(timeout=60)
            finally:
                followed.done.set()
            answers = [reader.result(timeout=60) for reader in readers]
            assert min(answers) > 20
            assert compactions.result(timeout=60) >= 3
    finally:
        sys.setswitchinterval(interval)
    live = set(range(fixed)) | (set(followed.added) - set(followed.deleted))
    assert live_rows(index.state)[0].tolist() == sorted(live)
    assert index.applied_seq == 2 * batches
