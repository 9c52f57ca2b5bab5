"""A base on an index server: what of a collection counts, and what a snapshot of it says."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index.backends.milvus import base as milvus_base
from index.backends.milvus import searching as milvus_searching
from index.backends.milvus.base import MilvusBase, open_base
from index.backends.milvus.masks import IDS_AT_ONCE, LISTED_IDS
from index.backends.milvus.releases import build_collection
from index.backends.milvus.server import MOST_FOUND
from index.backends.milvus.told import Note
from index.backends.rows import Rows
from index.errors import (
    CollectionLostError,
    IndexServerAwayError,
    IndexServerUnsetError,
    SnapshotDamagedError,
    WrongEncoderError,
)
from index.factory import build
from index.live import COMPACT_REMOTE_ROWS, COMPACT_ROWS, LiveIndex, is_worth_compacting
from index.milvus_kinds import MilvusKind, MilvusSpec
from index.snapshot import Snapshot, is_of, load_snapshot, save_snapshot
from index.spec import IndexKind, IndexSpec
from index.types import MISSING_ID, Vectors
from tests.fakes.plain_milvus import PlainMilvus

DIM = 8
FLAT = MilvusSpec(kind=MilvusKind.FLAT)
NO_IDS = np.empty(0, np.int64)


def make_vectors(n: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n, DIM))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def make_base(server: PlainMilvus, n: int = 30, *, seq: int = 5, spec: MilvusSpec = FLAT) -> MilvusBase:
    """Records 0, 2, 4 and so on."""
    ids = np.arange(n) * 2
    index = build_collection(
        server, "base", ids, make_vectors(n), spec, encoder_checksum="enc", applied_seq=seq, known_seq=seq, tag=70
    )
    return MilvusBase(index, ids)


def renew(base: MilvusBase, ids: list[int], vectors: Vectors, gone: list[int], seq: int) -> MilvusBase:
    left = np.setdiff1d(np.union1d(base.rows.record_ids, ids), gone)
    changed = Rows(np.array(ids, np.int64), vectors)
    return base.renew(left, changed, np.array(gone, np.int64), applied_seq=seq, known_seq=seq, tag=seq * 10)


def test_every_case_of_a_compaction_that_has_not_taken_over() -> None:
    """Added, replaced, deleted, replaced again meanwhile: the view before and the base after are both right."""
    server, fresh = PlainMilvus(), make_vectors(6, seed=1)
    base = make_base(server)
    index = LiveIndex(base, applied_seq=5)
    index.apply([61, 4, 6], fresh[:3], [8, 10], 9)  # added, replaced, replaced; deleted
    view = index.state
    after = renew(base, [61, 4, 6], fresh[:3], [8, 10], 9)
    index.apply([6, 63], fresh[3:5], [61], 12)  # while it was being built: replaced again, added, deleted
    for state, expected in ((view, {61: 0, 4: 1, 6: 2}), (index.state, {4: 1, 6: 3, 63: 4})):
        for record_id, row in expected.items():
            found = state.search(fresh[row : row + 1], 1, None)
            assert (found.record_ids[0, 0], found.scores[0, 0]) == (record_id, pytest.approx(1.0, abs=1e-6))
        everything = state.search(fresh[:1], 100, None).record_ids[0]
        assert not {8, 10} & set(everything.tolist())
        assert (everything != MISSING_ID).sum() == state.count == len(set(everything.tolist())) - 1
    index.rebase(after, view)
    assert (index.state.base, index.state.count, len(index.state.delta_ids)) == (after, 29, 2)
    assert set(index.search(fresh[:1], 100).record_ids[0].tolist()) == {MISSING_ID, 63, *range(0, 60, 2)} - {8, 10}
    assert index.search(fresh[3:4], 1).record_ids.tolist() == [[6]]
    assert index.search(fresh[2:3], 1).scores[0, 0] < 0.999, "the vector before is nowhere"


def test_rows_of_a_compaction_that_died_are_nobodys_and_go_with_the_next() -> None:
    server, fresh = PlainMilvus(), make_vectors(4, seed=1)
    base = make_base(server)
    server.writes_left = 2 + 2
    with pytest.raises(IndexServerAwayError):
        renew(base, [1, 3, 5], fresh[:3], [], 9)
    server.writes_left = None
    assert {1, 3} < set(server.collections["base"].rows) and 5 not in server.collections["base"].rows
    for found in base.search(fresh[:2], 100).record_ids.tolist():
        assert sorted(found[:30]) == list(range(0, 60, 2)) and set(found[30:]) == {MISSING_ID}
    again = open_base(server, "base", base.rows.record_ids, encoder_checksum="enc", dim=DIM)
    assert (again.index.applied_seq, again.index.facts.known_seq, again.index.facts.tag) == (5, 9, 90)
    renew(again, [3], fresh[3:], [1, 5], 11)  # what was done meanwhile: 1 and 5 are gone, 3 is another
    rows = server.collections["base"].rows
    assert sorted(row for row in rows if row >= 0) == sorted({3, *range(0, 60, 2)})
    assert (rows[3][1] == fresh[3]).all()


def test_the_notes_say_what_rows_may_show_before_any_does_and_never_go_back() -> None:
    server, fresh = PlainMilvus(), make_vectors(1, seed=1)
    base = make_base(server)
    for writes in (1, 2):
        server.writes_left = writes
        with pytest.raises(IndexServerAwayError):
            renew(base, [4], fresh, [], 9)
        assert (server.collections["base"].rows[4][1] != fresh[0]).any()
    server.writes_left = None
    later = renew(base, [4], fresh, [], 9)
    earlier = renew(later, [6], fresh, [], 7)  # of a server that lags
    notes = server.read_notes("base")
    assert (notes[Note.KNOWN_SEQ], notes[Note.TAG], notes[Note.APPLIED_SEQ]) == (9, 90, 9)
    assert (earlier.index.facts.known_seq, earlier.index.facts.tag) == (9, 90)


def test_a_topic_of_tombstones_does_not_hide_what_lies_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (milvus_searching, milvus_base):
        monkeypatch.setattr(place, "MOST_FOUND", 64)
    near = make_vectors(1) + 0.1 * make_vectors(200, seed=1)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    vectors = np.concatenate([near, make_vectors(2_000, seed=2)])
    index = build_collection(
        PlainMilvus(), "topic", np.arange(2_200), vectors, FLAT, encoder_checksum="e", applied_seq=1
    )
    live = LiveIndex(MilvusBase(index, np.arange(2_200)), applied_seq=1)
    live.delete(np.arange(200), 2)
    found = live.search(make_vectors(1), 10)
    floor = np.sort(vectors[200:] @ make_vectors(1)[0])[-10]
    assert (found.record_ids >= 200).all() and (found.scores >= floor - 1e-6).all()


def test_more_neighbours_than_milvus_finds_are_as_many_as_it_finds() -> None:
    server = PlainMilvus()
    ids = np.arange(MOST_FOUND + 50)
    vectors = make_vectors(len(ids))
    index = build_collection(server, "large", ids, vectors, FLAT, encoder_checksum="e", applied_seq=1)
    live = LiveIndex(MilvusBase(index, ids), applied_seq=1)
    live.delete([3, 4], 2)
    server.calls.clear()
    found = live.search(vectors[:1], len(ids))
    n_found = int((found.record_ids != MISSING_ID).sum())
    assert MOST_FOUND - 2 - len(Note) <= n_found <= MOST_FOUND
    assert server.calls.count("search") <= 2, "nothing is looked for by name"


def test_filters_are_asked_for_by_name_where_few_records_are_left() -> None:
    server = PlainMilvus()
    n = 16 * LISTED_IDS
    vectors = make_vectors(n)
    index = build_collection(server, "many", np.arange(n), vectors, FLAT, encoder_checksum="e", applied_seq=1)
    base = MilvusBase(index, np.arange(n))
    asked: list[str] = []
    search = server.search
    server.search = (
        lambda name, queries, limit, where, parameters: (  # type: ignore[method-assign]
            asked.append(where[:20]) or search(name, queries, limit, where, parameters)
        )
    )
    for keep, where in ((100, "record_id in ["), (n // 4, "record_id >= 0"), (n - 100, "")):
        asked.clear()
        allowed = np.zeros(n, np.bool_)
        allowed[np.random.default_rng(keep).permutation(n)[:keep]] = True
        found = base.search(vectors[:2], 5, allowed)
        assert {text[: len(where)] for text in asked} == {where}
        expected = np.sort((vectors[:2] @ vectors[allowed].T), axis=1)[:, ::-1][:, :5]
        np.testing.assert_allclose(found.scores, expected, atol=2e-6)
    assert IDS_AT_ONCE > LISTED_IDS


def test_vectors_are_handed_out_in_the_order_asked_and_missing_ones_are_said() -> None:
    server = PlainMilvus()
    base = make_base(server)
    rows = np.array([7, 3, 29])
    assert (base.vectors_at(rows) == make_vectors(30)[rows]).all()
    server.delete("base", np.array([6]))
    with pytest.raises(CollectionLostError, match="1 of 3 records are not there, the first is 6"):
        base.vectors_at(rows)
    assert len(base.vectors_at(NO_IDS)) == 0


def test_what_changed_over_a_server_is_kept_here_even_where_nothing_seems_to_have_changed() -> None:
    """The server may hold another vector of the record by now: see `app.serving.applying`."""
    base = make_base(PlainMilvus())
    index = LiveIndex(base, applied_seq=5)
    index.upsert([4], make_vectors(30)[2:3], 6)
    assert (index.stats().delta, index.stats().tombstones) == (1, 1)
    index.upsert([4], make_vectors(30)[2:3], 6)
    assert (index.stats().delta, index.stats().tombstones) == (1, 1)
    assert index.state.are_here(np.array([4, 6, 1])).tolist() == [True, False, False]
    local = LiveIndex(build([1, 2], make_vectors(2), IndexSpec(kind=IndexKind.EXACT)))
    assert local.state.are_here(np.array([1, 2])).all()


def test_a_collection_carries_bases_of_its_kind_until_it_is_outgrown() -> None:
    spec = MilvusSpec(kind=MilvusKind.IVF_FLAT, target_recall=0.9)
    base = make_base(PlainMilvus(), 30, spec=spec)
    assert base.carries(60, spec) and base.carries(3, spec)
    assert not base.carries(61, spec)
    assert not base.carries(30, dataclasses.replace(spec, target_recall=0.95))
    assert not base.carries(30, dataclasses.replace(spec, kind=MilvusKind.HNSW))
    assert make_base(PlainMilvus(), 30).carries(10_000, FLAT)


def test_a_delta_over_a_server_is_compacted_before_it_slows_searches_down() -> None:
    assert not is_worth_compacting(COMPACT_ROWS, 10, is_remote=True)
    assert not is_worth_compacting(COMPACT_REMOTE_ROWS, 10_000_000, is_remote=True)
    assert is_worth_compacting(COMPACT_REMOTE_ROWS + 1, 10_000_000, is_remote=True)
    assert not is_worth_compacting(COMPACT_REMOTE_ROWS + 1, 10_000_000)
    assert is_worth_compacting(COMPACT_ROWS + 1, 10_000, is_remote=True)


def save(base: MilvusBase, folder: Path, seq: int = 5) -> None:
    facts = base.index.facts
    save_snapshot(
        folder,
        Snapshot(index=base, encoder_checksum="enc", applied_seq=seq, known_seq=facts.known_seq, tag=facts.tag),
    )


def test_a_snapshot_names_the_collection_and_holds_no_vectors(tmp_path: Path) -> None:
    server = PlainMilvus()
    base = make_base(server, spec=MilvusSpec(kind=MilvusKind.IVF_FLAT, target_recall=0.9))
    folder = tmp_path / "5"
    save(base, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["ids.npy", "manifest.json"]
    assert json.loads((folder / "manifest.json").read_text())["collection"] == "base"
    loaded = load_snapshot(folder, encoder_checksum="enc", dim=DIM, server=server)
    assert isinstance(loaded.index, MilvusBase)
    assert (loaded.index.spec, loaded.index.name) == (base.spec, "base")
    assert (loaded.applied_seq, loaded.known_seq, loaded.tag) == (5, 5, 70)
    query = make_vectors(2, seed=3)
    assert loaded.index.search(query, 4).record_ids.tolist() == base.search(query, 4).record_ids.tolist()
    assert is_of(folder, base)
    local = build([1, 2], make_vectors(2), IndexSpec(kind=IndexKind.EXACT))
    assert not is_of(folder, local)


def test_a_snapshot_tells_of_changes_that_were_written_after_it(tmp_path: Path) -> None:
    server = PlainMilvus()
    base = make_base(server)
    save(base, tmp_path / "5")
    renew(base, [4], make_vectors(1, seed=1), [], 9)
    loaded = load_snapshot(tmp_path / "5", encoder_checksum="enc", dim=DIM, server=server)
    assert (loaded.applied_seq, loaded.known_seq, loaded.tag) == (5, 9, 90)


def test_the_same_number_on_another_collection_is_another_snapshot(tmp_path: Path) -> None:
    server = PlainMilvus()
    base = make_base(server)
    local = build(base.rows.record_ids, make_vectors(30), IndexSpec(kind=IndexKind.FLAT))
    folder = tmp_path / "5"
    save_snapshot(folder, Snapshot(index=local, encoder_checksum="enc", applied_seq=5, known_seq=5, tag=70))
    save(base, folder)
    assert isinstance(load_snapshot(folder, encoder_checksum="enc", dim=DIM, server=server).index, MilvusBase)
    before = (folder / "manifest.json").stat().st_ino
    save(base, folder)
    assert (folder / "manifest.json").stat().st_ino == before, "whole and of the same: kept"


def _drop(server: PlainMilvus) -> None:
    server.drop("base")


def _half(server: PlainMilvus) -> None:
    del server.collections["base"].rows[int(Note.RECALL)]


def _unbuild(server: PlainMilvus) -> None:
    server.collections["base"].is_built = False


def _foreign(server: PlainMilvus) -> None:
    server.collections["base"].description = "theirs"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_drop, "there is none: build it"),
        (_half, "not whole: build it anew"),
        (_unbuild, "not whole"),
        (_foreign, "not of samesay's making"),
    ],
)
def test_a_snapshot_without_its_collection_is_damaged(
    tmp_path: Path, damage: Callable[[PlainMilvus], None], said: str
) -> None:
    server = PlainMilvus()
    save(make_base(server), tmp_path / "5")
    damage(server)
    with pytest.raises(SnapshotDamagedError, match=rf"manifest\.json is damaged: .*{said}"):
        load_snapshot(tmp_path / "5", encoder_checksum="enc", dim=DIM, server=server)


def test_a_server_that_is_away_or_not_set_is_no_damage(tmp_path: Path) -> None:
    server = PlainMilvus()
    save(make_base(server), tmp_path / "5")
    server.is_away = True
    with pytest.raises(IndexServerAwayError, match="see that it runs"):
        load_snapshot(tmp_path / "5", encoder_checksum="enc", dim=DIM, server=server)
    with pytest.raises(IndexServerUnsetError, match="in collection base, and none is set: set SAMESAY_INDEX_SERVER"):
        load_snapshot(tmp_path / "5", encoder_checksum="enc", dim=DIM)


def test_a_collection_of_another_encoder_is_refused_naming_both(tmp_path: Path) -> None:
    server = PlainMilvus()
    save(make_base(server), tmp_path / "5")
    found = server.collections["base"]
    found.description = json.dumps({**json.loads(found.description), "encoder": "enc-b"})
    with pytest.raises(WrongEncoderError, match=r"was made by encoder enc-b .*, not by enc "):
        load_snapshot(tmp_path / "5", encoder_checksum="enc", dim=DIM, server=server)
