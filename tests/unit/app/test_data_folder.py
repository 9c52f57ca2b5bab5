"""The data folder: snapshots of another database go only where nobody uses them."""

import os
import threading
from pathlib import Path

import pytest

from app.commands.encoders import register
from app.data_folder import DataFolder, make_folder
from app.errors import DataFolderBusyError
from app.settings import Settings
from tests.conftest import migrate


def add_snapshot(data: Path) -> Path:
    snapshot = data / "collections/1/releases/1/snapshots/00000000000000000010"
    snapshot.mkdir(parents=True)
    return snapshot


@pytest.mark.parametrize("is_shared", [True, False])
def test_snapshots_of_another_database_are_thrown_away_where_its_servers_are_gone(
    is_shared: bool, tmp_path: Path
) -> None:
    with DataFolder(tmp_path, is_shared=is_shared) as folder:
        folder.belong_to("aa")
        snapshot = add_snapshot(tmp_path)
        folder.belong_to("aa")
        assert snapshot.exists()
    with DataFolder(tmp_path, is_shared=is_shared) as folder:
        folder.belong_to("bb")
        assert not snapshot.exists()
        if is_shared:  # its replicas may come
            with DataFolder(tmp_path, is_shared=True) as other:
                other.belong_to("bb")


def test_snapshots_that_servers_of_another_database_use_stay(tmp_path: Path) -> None:
    with DataFolder(tmp_path, is_shared=True) as theirs:
        theirs.belong_to("aa")
        snapshot = add_snapshot(tmp_path)
        (tmp_path / "lock").write_text("pid 7 on theirs\n")
        for _ in range(2):  # the second is not told of the first, which is gone
            with (
                pytest.raises(DataFolderBusyError, match=r"held by another server \(pid 7 on theirs\)"),
                DataFolder(tmp_path, is_shared=True) as ours,
            ):
                ours.belong_to("bb")
        assert snapshot.exists()
        assert (tmp_path / "database").read_text() == "aa\n"
        with DataFolder(tmp_path, is_shared=True) as replica:
            replica.belong_to("aa")


def test_whoever_starts_never_sees_half_of_what_another_notes(tmp_path: Path) -> None:
    """Replicas start together, and workers look whose folder it is: none may take it for another's."""
    database_id, over, seen = "a" * 32, threading.Event(), set[str]()
    note = tmp_path / "database"

    def look() -> None:
        while not over.is_set():
            if note.exists():
                seen.add(note.read_text())

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(500):
        with DataFolder(tmp_path, is_shared=True) as folder:
            folder.belong_to(database_id)
    over.set()
    looking.join()
    assert seen == {database_id + "\n"}
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "database"}


def test_a_folder_that_is_made_is_open_to_its_user_alone_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    made, there = tmp_path / "above" / "data", tmp_path / "there"
    before = os.umask(0o022)
    try:
        there.mkdir()
        for path in (made, there):
            make_folder(path)
    finally:
        os.umask(before)
    modes = [oct(path.stat().st_mode & 0o777) for path in (made.parent, made, there)]
    assert modes == ["0o755", "0o700", "0o755"]


def test_a_folder_that_registering_an_encoder_makes_is_open_to_its_user_alone(
    settings: Settings, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if settings.database_url is not None:
        migrate(settings)
        monkeypatch.setenv("SAMESAY_DATABASE_URL", settings.database_url.get_secret_value())
    register(tiny_bundle, "tiny", tmp_path / "made", makes=True)
    assert oct((tmp_path / "made").stat().st_mode & 0o777) == "0o700"
