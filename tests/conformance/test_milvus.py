"""A real Milvus server gives the answers that every back end gives, by itself and under the service's index."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

import numpy as np
import pytest

from index.backends.milvus.base import MilvusBase
from index.backends.milvus.index import MilvusIndex
from index.backends.milvus.releases import build_collection, collection_name
from index.backends.milvus.server import Milvus
from index.backends.rows import Rows
from index.interface import IndexReader
from index.live import LiveIndex
from index.milvus_kinds import MilvusKind, MilvusSpec
from index.spec import IndexKind, IndexSpec
from index.types import Ids, Vectors
from tests.conformance import test_index_backends as suite

pytestmark = pytest.mark.slow

KINDS = [MilvusKind.FLAT, MilvusKind.IVF_FLAT, MilvusKind.IVF_SQ8, MilvusKind.HNSW]
AT_ONCE = 14
"""Building a small collection is waiting for the server's clocks."""

MakeIndex = Callable[[Ids, Vectors], IndexReader]
_names = count()


def built(server: Milvus, kind: MilvusKind, ids: Ids, vectors: Vectors) -> MilvusIndex:
    """The records are there when the index is built."""
    name = collection_name("conformance", str(next(_names)))
    return build_collection(server, name, ids, vectors, MilvusSpec(kind=kind), encoder_checksum="enc", applied_seq=5)


def live(server: Milvus, kind: MilvusKind, ids: Ids, vectors: Vectors) -> MilvusIndex:
    """They came later: others were there, were replaced, deleted."""
    others = np.arange(len(ids)) + (ids.max(initial=0) + 1)
    index = built(
        server, kind, np.concatenate([ids[::2], others]), np.roll(np.concatenate([vectors[::2], vectors]), 1, axis=1)
    )
    index.apply(ids[::3], np.roll(vectors[::3], 2, axis=1), others[::2], 6)
    index.delete(others, 7)
    index.upsert(ids, vectors, 8)
    assert (len(index), index.dim, index.applied_seq) == (len(ids), vectors.shape[1], 8)
    return index


def renewed(server: Milvus, kind: MilvusKind, ids: Ids, vectors: Vectors) -> LiveIndex:
    """The service's way: changes over a base, written into its collection by a compaction, and more changes since."""

    def base(ids: Ids, vectors: Vectors) -> MilvusBase:
        return MilvusBase(built(server, kind, ids, vectors), np.sort(ids))

    index = suite.changed_over(base, ids, vectors, IndexSpec(kind=IndexKind.EXACT))
    late = np.arange(len(ids)) % 5 == 1
    index.upsert(ids[late], np.roll(vectors[late], 1, axis=1), 11)
    before = index.state
    old = before.base
    assert isinstance(old, MilvusBase)
    present = np.sort(ids)
    changed = ids[before.are_here(ids)]
    gone = np.setdiff1d(old.rows.record_ids, ids)
    renewed = old.renew(present, Rows(changed, before.vectors_of(changed)), gone, applied_seq=11, known_seq=11, tag=3)
    assert len(renewed.index) == len(ids), "nothing is left on the server of what was deleted"
    index.upsert(ids[late], vectors[late], 12)
    index.rebase(renewed, before)
    return index


def checks_of(make_index: MakeIndex, kind: MilvusKind) -> dict[str, Callable[[], None]]:
    """What the index is held to, by name."""
    checks = {
        "clustered": partial(suite.test_clustered_vectors_of_any_dim, make_index, 33),
        "few": partial(suite.test_few_records_are_all_answered, make_index, 3),
        "one vector": partial(suite.test_one_vector_for_all_records, make_index),
        "large ids": partial(suite.test_ids_may_be_sparse_and_large, make_index),
        "masks": partial(suite.test_allowed_masks_fill_k_and_never_leak, make_index),
        "batches": partial(suite.test_scores_do_not_depend_on_the_batch, make_index),
    }
    if kind is not MilvusKind.HNSW:  # the links of a row that is there hundreds of times lead to its likes only
        checks["duplicates"] = partial(suite.test_duplicates_fill_k_with_the_best_score, make_index)
    return checks


def exact_checks_of(make_index: MakeIndex) -> dict[str, Callable[[], None]]:
    """What an index that compares all rows is held to."""
    return {
        "few rows": partial(suite.test_exact_answers_for_every_k, make_index, 9),
        "every k": partial(suite.test_exact_answers_for_every_k, make_index, 300),
        "none": partial(suite.test_few_records_are_all_answered, make_index, 0),
        "no queries": partial(suite.test_no_queries_give_no_rows, make_index),
        "equal": partial(suite.test_equal_vectors_come_in_order_of_record_id, make_index),
        "exact masks": partial(suite.test_allowed_masks_exactly, make_index),
        "many queries": partial(suite.test_many_queries_are_answered_in_blocks_as_one_by_one, make_index),
        "wrong arguments": partial(suite.test_wrong_arguments_are_refused_by_name, make_index),
    }


def run_all(checks: dict[str, Callable[[], None]]) -> None:
    """All at once; a failure says which."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        running = {name: threads.submit(check) for name, check in checks.items()}
    failures = {name: future.exception() for name, future in running.items() if future.exception() is not None}
    for name, error in failures.items():
        raise AssertionError(f"{len(failures)} of {len(checks)} failed: {sorted(failures)}; {name}:") from error


def test_every_kind_under_the_services_index(milvus: str) -> None:
    server = Milvus(milvus, timeout_s=60)
    run_all(
        {
            f"{kind} {name}": check
            for kind in KINDS
            for name, check in checks_of(partial(renewed, server, kind), kind).items()
        }
    )


def test_all_rows_compared_give_exact_answers(milvus: str) -> None:
    server = Milvus(milvus, timeout_s=60)
    base = exact_checks_of(partial(renewed, server, MilvusKind.FLAT))
    alone = exact_checks_of(partial(live, server, MilvusKind.FLAT))
    lists = checks_of(partial(live, server, MilvusKind.IVF_FLAT), MilvusKind.IVF_FLAT)
    run_all(
        {
            **{f"base: {name}": check for name, check in base.items()},
            **{f"alone: {name}": check for name, check in alone.items()},
            **{f"lists: {name}": check for name, check in lists.items()},
        }
    )
