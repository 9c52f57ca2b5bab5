"""When changes are compacted."""

import numpy as np

from index.factory import build
from index.live import COMPACT_ROWS, is_worth_compacting
from index.spec import IndexKind, IndexSpec
from index.types import Vectors
from tests.fakes.compacting import CompactingIndex

DIM = 12


def make_vectors(n: int) -> Vectors:
    vectors = np.random.default_rng(0).standard_normal((n, DIM))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def wants_compaction(index: CompactingIndex) -> bool:
    return is_worth_compacting(index.state.changes, len(index.state.base))


def test_compaction_is_due_when_changes_pass_the_limit() -> None:
    vectors = make_vectors(COMPACT_ROWS + 2)
    index = CompactingIndex.empty(DIM)
    index.upsert(np.arange(COMPACT_ROWS), vectors[:COMPACT_ROWS], 1)
    assert not wants_compaction(index)
    index.upsert([COMPACT_ROWS], vectors[-1:], 2)
    assert wants_compaction(index)
    index.compact()
    assert not wants_compaction(index)
    assert index.stats().delta == index.stats().tombstones == 0
    index.delete(np.arange(COMPACT_ROWS), 3)
    assert not wants_compaction(index)
    index.delete([COMPACT_ROWS], 4)
    assert (wants_compaction(index), len(index)) == (True, 0)


def test_compaction_of_a_large_index_is_due_at_a_twentieth_of_it() -> None:
    vectors = make_vectors(120_000)
    index = CompactingIndex(build(np.arange(120_000), vectors, IndexSpec(kind=IndexKind.EXACT)))
    index.upsert(np.arange(3_000), vectors[3_000:6_000], 1)  # each is one dead row of the base and one of the delta
    assert (index.stats().delta, index.stats().tombstones, wants_compaction(index)) == (3_000, 3_000, False)
    index.delete([119_999], 2)
    assert wants_compaction(index)
