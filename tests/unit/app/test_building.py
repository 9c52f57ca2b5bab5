"""Building a snapshot in another process: the same files, its complaints heard, and never without its server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.serving.compacting import Compactor, Rows
from app.serving.entry import Entry
from app.serving.snapshots import BuildError, load_base
from app.serving.spool import BuildOrder, spooling
from index.spec import IndexKind, IndexSpec

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
        for rows in some_rows():
            spool.append(*rows)
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
        slow = "import app.serving.building as b, time; b.build_snapshot = lambda *_: time.sleep(60); b.main()"
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
