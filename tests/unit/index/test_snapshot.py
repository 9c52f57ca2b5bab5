"""A snapshot is whole or not there, and what was damaged or belongs to another encoder is refused by name."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index.errors import SnapshotDamagedError, SnapshotTakenError, SnapshotVersionError, WrongEncoderError
from index.factory import build
from index.files import load_array, save_matrix
from index.manifest import load_manifest
from index.snapshot import (
    Snapshot,
    is_of,
    latest_snapshot,
    list_snapshots,
    load_snapshot,
    prune_snapshots,
    save_snapshot,
    snapshot_folder,
)
from index.spec import IndexKind, IndexSpec
from index.types import Vectors

DIM = 24
FILES = {
    IndexKind.EXACT: ["ids.npy", "manifest.json", "vectors.npy"],
    IndexKind.FLAT: ["ids.npy", "manifest.json", "vectors.npy"],
    IndexKind.IVF_PQ: ["codes.faiss", "ids.npy", "manifest.json", "trials.npz", "vectors.npy"],
}
every_kind = pytest.mark.parametrize("kind", list(IndexKind))


class CrashError(BaseException):
    """The process is gone: no handler of the code under test may tidy up after it."""


def make_vectors(n: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n, DIM))
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def make_snapshot(kind: IndexKind = IndexKind.EXACT, *, n: int = 60, seq: int = 7, encoder: str = "enc-a") -> Snapshot:
    index = build(np.arange(n) * 5, make_vectors(n), IndexSpec(kind=kind))
    return Snapshot(index=index, encoder_checksum=encoder, applied_seq=seq)


def load(folder: Path) -> Snapshot:
    return load_snapshot(folder, encoder_checksum="enc-a", dim=DIM)


@every_kind
@pytest.mark.parametrize("n", [0, 1, 3_000])
def test_a_loaded_snapshot_answers_as_the_index_did(kind: IndexKind, n: int, tmp_path: Path) -> None:
    saved = make_snapshot(kind, n=n, seq=2**40)
    folder = snapshot_folder(tmp_path / "made" / "as needed", 2**40)
    save_snapshot(folder, saved)
    loaded = load(folder)
    expected_kind = IndexKind.EXACT if kind is IndexKind.IVF_PQ and n < 256 else kind
    assert sorted(path.name for path in folder.iterdir()) == FILES[expected_kind]
    assert type(loaded.index) is type(saved.index)
    assert (loaded.applied_seq, loaded.encoder_checksum) == (2**40, "enc-a")
    assert (loaded.index.spec, loaded.index.index_recall) == (saved.index.spec, saved.index.index_recall)
    assert (len(loaded.index), loaded.index.dim) == (n, DIM)
    queries = make_vectors(30, seed=5)
    for allowed in (None, np.arange(5 * n + 1) % 2 == 0):
        before, after = saved.index.search(queries, 8, allowed), loaded.index.search(queries, 8, allowed)
        assert after.record_ids.tolist() == before.record_ids.tolist()
        assert after.scores.tolist() == before.scores.tolist()


@every_kind
def test_vectors_that_are_in_a_file_already_are_moved_there(kind: IndexKind, tmp_path: Path) -> None:
    n = 700
    scratch = tmp_path / "scratch.npy"
    save_matrix(scratch, np.array_split(make_vectors(n), 9), (n, DIM), np.float32)
    number = scratch.stat().st_ino
    index = build(np.arange(n) * 5, load_array(scratch), IndexSpec(kind=kind))
    save_snapshot(tmp_path / "8", Snapshot(index=index, encoder_checksum="enc-a", applied_seq=7), vectors=scratch)
    assert (tmp_path / "8" / "vectors.npy").stat().st_ino == number
    assert not scratch.exists()
    save_snapshot(tmp_path / "7", make_snapshot(kind, n=n))
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (tmp_path / "7", tmp_path / "8")]
    assert files[0] == files[1]
    assert index.search(make_vectors(3), 5).record_ids.shape == (3, 5), "and it is still mapped"


@pytest.mark.parametrize("n", [0, 1, 50])
def test_a_matrix_in_parts_is_as_numpy_writes_it(n: int, tmp_path: Path) -> None:
    vectors = make_vectors(n)
    np.save(tmp_path / "whole.npy", vectors)
    parts = [vectors[:20], vectors[20:20], np.asfortranarray(vectors[20:])]
    save_matrix(tmp_path / "parts.npy", parts, (n, DIM), np.float32)
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_the_manifest_says_what_is_there(tmp_path: Path) -> None:
    save_snapshot(tmp_path / "7", make_snapshot())
    fields = json.loads((tmp_path / "7" / "manifest.json").read_bytes())
    assert fields["schema_version"] == 2
    assert (fields["encoder_checksum"], fields["dim"], fields["count"], fields["applied_seq"]) == ("enc-a", DIM, 60, 7)
    assert fields["spec"]["kind"] == "exact"
    assert fields["index_recall"] == 1.0
    assert fields["files"]["ids.npy"]["size_bytes"] == (tmp_path / "7" / "ids.npy").stat().st_size


def test_vectors_are_memory_mapped(tmp_path: Path) -> None:
    save_snapshot(tmp_path / "7", make_snapshot())
    vectors = load(tmp_path / "7").index.rows.vectors
    assert isinstance(vectors.base, np.memmap)
    assert not vectors.flags.writeable


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "first byte": lambda path: flip(path, 0),
    "a byte in the middle": lambda path: flip(path, path.stat().st_size // 2),
    "last byte": lambda path: flip(path, path.stat().st_size - 1),
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("file", FILES[IndexKind.IVF_PQ])
def test_damage_is_refused_and_names_the_file(file: str, damage: Callable[[Path], object], tmp_path: Path) -> None:
    save_snapshot(tmp_path / "7", make_snapshot(IndexKind.IVF_PQ, n=300))
    damage(tmp_path / "7" / file)
    with pytest.raises(SnapshotDamagedError, match=file) as caught:
        load(tmp_path / "7")
    assert caught.value.file == str(tmp_path / "7" / file)


def test_every_byte_of_the_manifest_counts(tmp_path: Path) -> None:
    save_snapshot(tmp_path / "7", make_snapshot(n=3))
    path = tmp_path / "7" / "manifest.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(SnapshotDamagedError, match=r"manifest\.json"):
            load(tmp_path / "7")


def test_a_folder_that_is_not_there_is_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(SnapshotDamagedError, match="there is no such file"):
        load(tmp_path / "7")


def test_another_schema_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("index.manifest.SCHEMA_VERSION", 3)
        save_snapshot(tmp_path / "7", make_snapshot())
    with pytest.raises(SnapshotVersionError, match="has schema version 3, this program reads 2"):
        load(tmp_path / "7")


@pytest.mark.parametrize(("encoder", "dim"), [("enc-b", DIM), ("enc-a", DIM + 1)])
def test_another_encoder_is_refused_and_both_are_named(encoder: str, dim: int, tmp_path: Path) -> None:
    save_snapshot(tmp_path / "7", make_snapshot())
    with pytest.raises(WrongEncoderError) as caught:
        load_snapshot(tmp_path / "7", encoder_checksum=encoder, dim=dim)
    assert f"enc-a (dim {DIM})" in str(caught.value)
    assert f"{encoder} (dim {dim})" in str(caught.value)


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the process die at the step-th thing that reaches the disk; returns what was reached."""
    reached: list[str] = []

    def dying(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object) -> object:
            reached.append(name)
            if len(reached) == step:
                raise CrashError
            return real(*arguments)

        monkeypatch.setattr(os, name, call)

    dying("fsync")
    dying("replace")
    monkeypatch.setattr(shutil, "rmtree", lambda *_args, **_options: None)
    return reached


# Four files and the folder are flushed, the folder is renamed, its parent is flushed.
@pytest.mark.parametrize("step", range(1, 9))
def test_a_crash_leaves_the_snapshot_before_it(step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = snapshot_folder(tmp_path, 7), snapshot_folder(tmp_path, 12)
    save_snapshot(older, make_snapshot(IndexKind.IVF_PQ, n=300))
    coming = make_snapshot(IndexKind.IVF_PQ, n=310, seq=12)
    with monkeypatch.context() as patch:
        reached = crash_at(step, patch)
        with pytest.raises(CrashError):
            save_snapshot(newer, coming)
        assert reached[-1] == ("replace" if step == 7 else "fsync")
    renamed = step == 8
    assert latest_snapshot(tmp_path) == (newer if renamed else older)
    assert (load(older).applied_seq, len(load(older).index)) == (7, 300)
    if renamed:
        assert (load(newer).applied_seq, len(load(newer).index)) == (12, 310)
    save_snapshot(newer, coming)
    assert prune_snapshots(tmp_path, keep=2) == []
    assert [path.name for path in sorted(tmp_path.iterdir())] == [older.name, newer.name]
    assert len(load(newer).index) == 310


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_snapshot(tmp_path / "7", make_snapshot())

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            save_snapshot(tmp_path / "8", make_snapshot(seq=8))
    assert [path.name for path in tmp_path.iterdir()] == ["7"]


def test_saving_again_keeps_what_is_whole_and_replaces_what_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    save_snapshot(folder, make_snapshot())
    written = (folder / "vectors.npy").stat().st_ino
    save_snapshot(folder, make_snapshot())
    assert (folder / "vectors.npy").stat().st_ino == written
    flip(folder / "vectors.npy", 200)
    save_snapshot(folder, make_snapshot())
    assert len(load(folder).index) == 60
    prune_snapshots(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["7"]
    with pytest.raises(WrongEncoderError):
        save_snapshot(folder, make_snapshot(encoder="enc-b"))


def test_other_rows_never_take_the_place_of_whole_ones(tmp_path: Path) -> None:
    """Others may have loaded them, and say by row number which of them are live."""
    folder, there, coming = tmp_path / "7", make_snapshot(), make_snapshot(n=61)
    save_snapshot(folder, there)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SnapshotTakenError, match="is there already, with other rows"):
        save_snapshot(folder, coming)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert list(tmp_path.iterdir()) == [folder]
    flip(folder / "vectors.npy", 200)
    save_snapshot(folder, coming)
    assert len(load(folder).index) == 61


def test_the_same_rows_may_be_tuned_for_another_target(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    index = build(np.arange(300), make_vectors(300), IndexSpec(kind=IndexKind.IVF_PQ, target_recall=0.9))
    save_snapshot(folder, Snapshot(index=index, encoder_checksum="enc-a", applied_seq=7))
    before = load(folder)
    index = build(np.arange(300), make_vectors(300), IndexSpec(kind=IndexKind.IVF_PQ, target_recall=0.95))
    save_snapshot(folder, Snapshot(index=index, encoder_checksum="enc-a", applied_seq=7))
    assert load(folder).index.spec.target_recall == 0.95
    assert load(folder).rows == before.rows != ""


def test_the_same_rows_may_be_put_into_other_lists(tmp_path: Path) -> None:
    """An index that was built in haste makes room for the one that was not."""
    folder, vectors, ids = tmp_path / "7", make_vectors(4_000), np.arange(4_000)
    few, chosen = (
        build(ids, vectors, IndexSpec(kind=IndexKind.IVF_PQ, nlist=nlist, target_recall=0.9)) for nlist in (32, 64)
    )
    save_snapshot(folder, Snapshot(index=few, encoder_checksum="enc-a", applied_seq=7))
    before = load(folder)
    assert (is_of(folder, before.index), is_of(folder, chosen)) == (True, False)
    save_snapshot(folder, Snapshot(index=chosen, encoder_checksum="enc-a", applied_seq=7))
    assert (is_of(folder, before.index), is_of(folder, chosen)) == (False, True)
    assert (load(folder).index.spec, load(folder).rows) == (chosen.spec, before.rows)


def test_snapshots_are_listed_by_number_and_pruned_from_the_oldest(tmp_path: Path) -> None:
    assert latest_snapshot(tmp_path / "nowhere") is None
    assert prune_snapshots(tmp_path / "nowhere") == []
    for seq in (9, 10, 2**33, 100):
        save_snapshot(snapshot_folder(tmp_path, seq), make_snapshot(n=2, seq=seq))
    (tmp_path / "00000000000000000999").write_text("a file is no snapshot")
    (tmp_path / ".tmp-left").mkdir()
    (tmp_path / "notes").mkdir()
    numbers = [int(path.name) for path in list_snapshots(tmp_path)]
    assert numbers == [2**33, 100, 10, 9]
    assert latest_snapshot(tmp_path) == snapshot_folder(tmp_path, 2**33)
    loaded = load(snapshot_folder(tmp_path, 10))
    removed = prune_snapshots(tmp_path, keep=2)
    assert [int(path.name) for path in removed] == [10, 9]
    assert [int(path.name) for path in list_snapshots(tmp_path)] == [2**33, 100]
    assert not (tmp_path / ".tmp-left").exists()
    assert (tmp_path / "notes").exists()
    assert loaded.index.search(make_vectors(2)[:1], 1).record_ids.tolist() == [[0]]
    with pytest.raises(ValueError, match="keep is 0"):
        prune_snapshots(tmp_path, keep=0)


def test_a_crash_while_pruning_leaves_no_half_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seq in (1, 2):
        save_snapshot(snapshot_folder(tmp_path, seq), make_snapshot(seq=seq))

    def dies(path: Path) -> None:
        (path / "ids.npy").unlink()
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dies)
        with pytest.raises(CrashError):
            prune_snapshots(tmp_path, keep=1)
    assert [load(folder).applied_seq for folder in list_snapshots(tmp_path)] == [2]


def test_names_of_folders_sort_as_numbers(tmp_path: Path) -> None:
    names = [snapshot_folder(tmp_path, seq).name for seq in (0, 9, 10, 2**63 - 1)]
    assert names == sorted(names)
    assert names[1] == "00000000000000000009"


def test_a_manifest_can_be_read_without_its_index(tmp_path: Path) -> None:
    save_snapshot(tmp_path / "7", make_snapshot())
    manifest = load_manifest(tmp_path / "7")
    assert (manifest.applied_seq, manifest.count, sorted(manifest.files)) == (7, 60, ["ids.npy", "vectors.npy"])
