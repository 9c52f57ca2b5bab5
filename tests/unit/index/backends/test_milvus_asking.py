"""What a Milvus server is asked: masks as expressions, kinds with their parameters, and no pymilvus at all."""

import gc
import sys

import numpy as np
import pytest

from index.backends.milvus.masks import IDS_AT_ONCE, LISTED_IDS, AskedBefore, ask_by_lists, ask_for
from index.backends.milvus.releases import collection_name
from index.backends.milvus.server import Milvus
from index.errors import BackendMissingError, InvalidSpecError
from index.milvus_kinds import (
    MilvusKind,
    MilvusSpec,
    build_parameters,
    choose_lists,
    efforts_of,
    search_parameters,
)
from index.types import Allowed


def mask(length: int, *ids: int) -> Allowed:
    allowed = np.zeros(length, np.bool_)
    allowed[list(ids)] = True
    return allowed


def test_nothing_allowed_asks_nothing() -> None:
    assert ask_for(mask(0)).where == ask_for(mask(7)).where == ()


def test_few_allowed_are_named() -> None:
    asked = ask_for(mask(100_000, 3, 70, 99_999))
    assert (asked.where, asked.share) == (("record_id in [3,70,99999]",), 1.0)


def test_few_forbidden_are_named_and_ids_past_the_end_are_not_allowed() -> None:
    asked = ask_for(~mask(100_000, 3, 70))
    assert asked.where == ("record_id >= 0 and record_id < 100000 and not (record_id in [3,70])",)
    assert asked.share == 1.0
    assert ask_for(~mask(100_000)).where == ("record_id >= 0 and record_id < 100000",)


def test_in_between_answers_are_sifted() -> None:
    asked = ask_for(np.arange(100_000) % 4 == 0)
    assert (asked.where, asked.share) == (("record_id >= 0 and record_id < 100000",), 0.25)


def test_one_in_many_is_named_in_as_many_lists_as_it_takes() -> None:
    allowed = np.arange(3_000_000) % 25 == 0
    asked = ask_for(allowed)
    assert asked.share == 1.0
    named = [text.removeprefix("record_id in [").removesuffix("]").split(",") for text in asked.where]
    assert [len(ids) for ids in named] == [IDS_AT_ONCE, IDS_AT_ONCE, 120_000 - 2 * IDS_AT_ONCE]
    assert [int(i) for ids in named for i in ids] == list(range(0, 3_000_000, 25))
    assert asked == ask_by_lists(allowed)


def test_the_same_mask_is_worked_out_once_and_forgotten_with_it() -> None:
    before: AskedBefore[Allowed] = AskedBefore()
    allowed = mask(10 * LISTED_IDS, *range(5))
    first = before.of(allowed, ask_for)
    assert before.of(allowed, ask_for) is first
    assert before.of(allowed.copy(), ask_for) is not first
    del allowed
    gc.collect()
    assert before._kept == {}


def test_lists_are_chosen_from_the_number_of_rows() -> None:
    spec = MilvusSpec(kind=MilvusKind.IVF_SQ8)
    assert [choose_lists(spec, n) for n in (0, 100, 100_000, 1_000_000)] == [64, 64, 256, 1024]
    assert choose_lists(MilvusSpec(kind=MilvusKind.IVF_FLAT, nlist=7), 100_000) == 7
    assert choose_lists(MilvusSpec(kind=MilvusKind.HNSW), 100_000) == 0


def test_each_kind_has_parameters_of_its_own() -> None:
    lists = MilvusSpec(kind=MilvusKind.IVF_FLAT, nlist=100, effort=12)
    graph = MilvusSpec(kind=MilvusKind.HNSW, effort=48)
    cagra = MilvusSpec(kind=MilvusKind.GPU_CAGRA, effort=64)
    assert build_parameters(lists) == {"nlist": 100}
    assert search_parameters(lists, 27, 12) == {"nprobe": 12}
    assert search_parameters(lists, 320, 12) == {"nprobe": 100}, "more rows, more lists, never more than there are"
    assert build_parameters(graph) == {"M": 16, "efConstruction": 200}
    assert search_parameters(graph, 27, 48) == {"ef": 48}
    assert search_parameters(graph, 27, 16) == {"ef": 27}, "Milvus refuses an ef below the rows wanted"
    assert search_parameters(cagra, 27, 64) == {"itopk_size": 64}
    assert (
        search_parameters(MilvusSpec(kind=MilvusKind.FLAT), 27, 0)
        == build_parameters(MilvusSpec(kind=MilvusKind.FLAT))
        == {}
    )
    for spec in (lists, graph, cagra):
        efforts = efforts_of(spec)
        assert efforts == sorted(set(efforts))
    assert efforts_of(lists)[-1] == 100


def test_specs_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidSpecError, match="nlist is -1"):
        MilvusSpec(kind=MilvusKind.HNSW, nlist=-1)
    with pytest.raises(InvalidSpecError, match="effort is -2"):
        MilvusSpec(kind=MilvusKind.HNSW, effort=-2)
    with pytest.raises(InvalidSpecError, match=r"target_recall is 1\.5"):
        MilvusSpec(kind=MilvusKind.HNSW, target_recall=1.5)


def test_names_are_as_milvus_wants_them() -> None:
    assert collection_name("sha-ab12", "col 3/é") == "samesay_sha_ab12_col_3__"


def test_without_pymilvus_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(BackendMissingError, match=r"pip install 'samesay\[milvus\]'"):
        Milvus("http://127.0.0.1:9")
