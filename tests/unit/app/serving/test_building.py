"""Building a snapshot in another process: the same files, its complaints heard, and never without its server."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from app.serving.catalogue.entry import Entry
from app.serving.compacting import Compactor, Rows
from app.serving.release import ServingRelease
from app.serving.release_key import ReleaseKey
from app.serving.repository import ChangedRecords
from app.serving.snapshots.base import BuildError, StaleReleaseError, empty_base, load_base
from app.serving.snapshots.spool import BuildOrder, spooling
from index.spec import IndexKind, IndexSpec
from model.contract.deciding.decision import DecisionParameters

DIM = 8


def some_rows(n: int = 30) -> Iterator[Rows]:
    rng = np.random.default_rng(0)
    for start in range(0, n, 10):
        vectors = rng.standard_normal((10, DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        numbers = np.arange(start + 10, start, -1, dtype=np.int64)  # the rows come in any order
        yield numbers, vectors, [Entry(f"r{n}", f"text {n}", "g", b'{"n":1}') for n in numbers.tolist()]


def compactor(folder: Path) -> Compactor:
    return Compactor(folder, encoder_checksum="enc", dim=DIM, target_recall=0.9)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every snapshot counts as large."""
    monkeypatch.setattr("app.serving.compacting.choose_spec", lambda n, dim: IndexSpec(kind=IndexKind.IVF_PQ))


def test_another_process_builds_the_same(tmp_path: Path, apart: None, monkeypatch: pytest.MonkeyPatch) -> None:
    there = compactor(tmp_path / "there").write(some_rows(), applied_seq=30, tag=5)
    monkeypatch.undo()
    here = compactor(tmp_path / "here").write(some_rows(), applied_seq=30, tag=5)
    assert there.folder is not None and here.folder is not None
    files = {path.name: path.read_bytes() for path in there.folder.iterdir()}
    assert files == {path.name: path.read_bytes() for path in here.folder.iterdir()}
    assert (there.applied_seq, there.tag, len(there.index)) == (30, 5, 30)
    assert there.sidecar is not None
    (found,) = there.sidecar.find(np.array([17]))
    assert found == Entry("r17", "text 17", "g", b'{"n":1}')
    assert [path.name for path in (tmp_path / "there").iterdir()] == [there.folder.name], "nothing is left over"


def test_what_the_process_complains_of_is_told(tmp_path: Path, apart: None) -> None:
    (tmp_path / f"{30:020d}").write_text("a file stands where the snapshot's folder shall be")
    with pytest.raises(BuildError, match=r"exit status 1\): NotADirectoryError"):
        compactor(tmp_path).write(some_rows(), applied_seq=30, tag=5)


def test_a_build_is_given_up_when_the_server_stops(tmp_path: Path, apart: None) -> None:
    stopping = Compactor(tmp_path, encoder_checksum="enc", dim=DIM, target_recall=0.9, is_stopping=lambda: True)
    with pytest.raises(BuildError, match="the server is stopping"):
        stopping.write(some_rows(), applied_seq=30, tag=5)
    assert list(tmp_path.iterdir()) == []


def test_a_builder_ends_with_its_server(tmp_path: Path) -> None:
    """The pipe to it closes, as it does when a server is killed: it must not write a snapshot an hour later."""
    with spooling(tmp_path) as spool:
        for record_ids, vectors, entries in some_rows():
            spool.append(record_ids, vectors, [entry.pack() for entry in entries])
        order = BuildOrder(
            snapshots=str(tmp_path),
            encoder_checksum="enc",
            dim=DIM,
            applied_seq=30,
            known_seq=30,
            tag=5,
            target_recall=0.9,
        )
        spool.finish(order)
        slow = (
            "import app.serving.snapshots.building as b, time; b.build_snapshot = lambda *_: time.sleep(60); b.main()"
        )
        command = [sys.executable, "-c", slow, str(spool.folder)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
            with pytest.raises(subprocess.TimeoutExpired):
                builder.wait(1.5)  # it works
            assert builder.stdin is not None
            builder.stdin.close()
            assert builder.wait(10) == 1


def test_an_empty_snapshot_can_be_loaded(tmp_path: Path) -> None:
    base = compactor(tmp_path).write(iter(()), applied_seq=4, tag=1)
    assert base.folder is not None
    again = load_base(base.folder, encoder_checksum="enc", dim=DIM)
    assert again.sidecar is not None
    assert (len(again.index), again.sidecar.find(np.array([1])), again.sidecar.n_groups) == (0, [None], 0)


def new_release() -> ServingRelease:
    key = ReleaseKey(collection_id=1, collection="faq", release_id=1, number=1, encoder_sha="enc")
    return ServingRelease(key, cast(Any, None), DecisionParameters(), empty_base(DIM), 0.9)


def follow(release: ServingRelease, last_seq: int, known_seq: int, there: Sequence[int], gone: Sequence[int]) -> None:
    """Read the log up to a change, where it ends at another."""
    ids = np.array(there, np.int64)
    vectors = np.eye(DIM, dtype=np.float32)[ids % DIM]
    entries = {number: Entry(f"r{number}", f"text {number}", None) for number in there}
    release.apply(ChangedRecords(last_seq, known_seq, 7 * known_seq, entries, list(gone)), ids, vectors)


def compact(release: ServingRelease, folder: Path) -> None:
    view = release.view
    release.rebase(compactor(folder).fold(view), view)


def test_two_servers_that_stand_at_one_change_do_not_mix_up_their_rows(tmp_path: Path) -> None:
    """Change 11 stores record 20, change 12 deletes record 2: one server reads the ten before when 12 is known."""
    first, second = new_release(), new_release()
    follow(first, 10, 11, range(1, 11), [])
    follow(second, 10, 12, [1, *range(3, 11)], [2])
    compact(second, tmp_path)
    with pytest.raises(StaleReleaseError, match="is there already, with other rows"):
        compact(first, tmp_path)
    for release in (first, second):
        follow(release, 13, 13, [20], [2, 9])
        compact(release, tmp_path)  # the first over what it had before, which is nothing
        found = load_base(tmp_path / f"{13:020d}", encoder_checksum="enc", dim=DIM)
        assert found.index.rows.record_ids.tolist() == [1, 3, 4, 5, 6, 7, 8, 10, 20]


@pytest.mark.parametrize("is_apart", [False, True])
@pytest.mark.parametrize("harm", ["replaced", "damaged", "gone"])
def test_changes_are_never_laid_over_other_rows(
    harm: str, is_apart: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    release, other = new_release(), new_release()
    follow(release, 10, 11, range(1, 11), [])
    compact(release, tmp_path)
    folder = release.view.base.folder
    assert folder is not None
    shutil.copytree(folder, tmp_path / "kept")
    shutil.rmtree(folder)
    if harm == "replaced":
        follow(other, 10, 12, [1, *range(3, 11)], [2])
        compact(other, tmp_path)
    elif harm == "damaged":
        shutil.copytree(tmp_path / "kept", folder)
        (folder / "vectors.npy").write_bytes((folder / "vectors.npy").read_bytes()[:-1])
    follow(release, 13, 13, [20], [2, 9])
    if is_apart:
        request.getfixturevalue("apart")
    said = "has other rows" if harm == "replaced" else "is damaged"
    with pytest.raises(StaleReleaseError, match=said):
        compactor(tmp_path).fold(release.view)
    assert not (tmp_path / f"{13:020d}").exists()
