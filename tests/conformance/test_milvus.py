"""A real Milvus server gives the answers that every back end gives."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from index.backends.milvus import Milvus
from index.backends.milvus_kinds import MilvusKind, MilvusSpec
from index.backends.milvus_releases import build_collection, collection_name
from index.interface import IndexReader
from index.types import Ids, Vectors
from tests.conformance import test_index_backends as suite
from tests.fakes.milvus import milvus_server

pytestmark = pytest.mark.slow

ENCODER = "enc-a"

KINDS = [MilvusKind.FLAT, MilvusKind.IVF_FLAT, MilvusKind.IVF_SQ8, MilvusKind.HNSW]

MakeIndex = Callable[[Ids, Vectors], IndexReader]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with milvus_server(tmp_path_factory.mktemp("milvus")) as started:
        yield started


@pytest.fixture
def server(address: str) -> Iterator[Milvus]:
    connected = Milvus(address, timeout_s=20, build_timeout_s=60)
    yield connected
    connected.close()


def built(server: Milvus, kind: MilvusKind) -> MakeIndex:
    """The records are there when the index is built."""

    def make(ids: Ids, vectors: Vectors) -> IndexReader:
        name = collection_name(ENCODER, "1")
        server.drop(name)
        return build_collection(
            server, name, ids, vectors, MilvusSpec(kind=kind), encoder_checksum=ENCODER, applied_seq=5
        )

    return make


def live(server: Milvus, kind: MilvusKind) -> MakeIndex:
    """They came by every road: there from the start, replaced, added, deleted, added again."""

    def make(ids: Ids, vectors: Vectors) -> IndexReader:
        stays = np.arange(len(ids)) % 10 != 0
        base_ids, base_vectors = ids[stays], vectors[stays].copy()
        base_vectors[::7] = np.roll(base_vectors[::7], 1, axis=1)
        gone_ids = np.arange(len(ids)) + (ids.max(initial=0) + 1)
        gone = np.roll(vectors, 3, axis=1)
        name = collection_name(ENCODER, "1")
        server.drop(name)
        index = build_collection(
            server,
            name,
            np.concatenate([base_ids, gone_ids[::9]]),
            np.concatenate([base_vectors, gone[::9]]),
            MilvusSpec(kind=kind),
            encoder_checksum=ENCODER,
            applied_seq=5,
        )
        index.upsert(base_ids[::7], vectors[stays][::7], 6)
        index.apply(gone_ids[::8], gone[::8], gone_ids[::9], 7)
        index.upsert(ids[~stays], np.roll(vectors[~stays], 2, axis=1), 8)
        index.delete(np.concatenate([gone_ids, ids[~stays][::2]]), 9)
        index.upsert(ids[~stays], vectors[~stays], 10)
        assert (len(index), index.dim, index.applied_seq) == (len(ids), vectors.shape[1], 10)
        return index

    return make


ways = pytest.mark.parametrize("how", [built, live])
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@ways
def test_every_kind_passes_what_every_back_end_passes(
    server: Milvus, kind: MilvusKind, how: Callable[[Milvus, MilvusKind], MakeIndex]
) -> None:
    make_index = how(server, kind)
    suite.test_clustered_vectors_of_any_dim(make_index, 33)
    suite.test_few_records_are_all_answered(make_index, 3)
    if kind is not MilvusKind.HNSW:  # the links of a row that is there hundreds of times lead to its likes only
        suite.test_duplicates_fill_k_with_the_best_score(make_index)
    suite.test_one_vector_for_all_records(make_index)
    suite.test_ids_may_be_sparse_and_large(make_index)
    suite.test_allowed_masks_fill_k_and_never_leak(make_index)
    suite.test_scores_do_not_depend_on_the_batch(make_index)


@ways
def test_all_rows_compared_give_exact_answers(server: Milvus, how: Callable[[Milvus, MilvusKind], MakeIndex]) -> None:
    make_index = how(server, MilvusKind.FLAT)
    for n in (1, 9, 300):
        suite.test_exact_answers_for_every_k(make_index, n)
    suite.test_few_records_are_all_answered(make_index, 0)
    suite.test_no_queries_give_no_rows(make_index)
    suite.test_equal_vectors_come_in_order_of_record_id(make_index)
    suite.test_allowed_masks_exactly(make_index)
    suite.test_many_queries_are_answered_in_blocks_as_one_by_one(make_index)
    suite.test_wrong_arguments_are_refused_by_name(make_index)
