"""Drafts: what somebody writes is left alone, whoever that is, and what the dead have left is removed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from index import drafts
from index.drafts import drafting, remove_dead_drafts

HOLDS = """
import sys, time
from pathlib import Path
from index.drafts import drafting
with drafting(Path(sys.argv[1]), "other") as draft:
    (draft.folder / "vectors").write_text("1")
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_draft_is_left_alone_until_its_block_ends(tmp_path: Path) -> None:
    with drafting(tmp_path / "made", "mine") as draft:
        remove_dead_drafts(tmp_path / "made")
        (draft.folder / "vectors").write_text("1")
    assert list((tmp_path / "made").iterdir()) == []


def test_a_draft_of_another_process_is_left_alone_until_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        remove_dead_drafts(tmp_path)
        (draft,) = tmp_path.iterdir()
        assert (draft / "vectors").exists()
        other.kill()
        other.wait()
        remove_dead_drafts(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_process_that_inherits_the_lock_holds_the_draft_too(tmp_path: Path) -> None:
    """A builder may live a moment longer than its server: what it writes must not be removed under it."""
    draft = drafts._make(tmp_path, "mine")
    with subprocess.Popen(["sleep", "60"], pass_fds=[draft.lock]) as heir:
        os.close(draft.lock)  # as if we had been killed
        remove_dead_drafts(tmp_path)
        assert draft.folder.exists()
        heir.kill()
    remove_dead_drafts(tmp_path)
    assert not draft.folder.exists()


def test_what_has_no_lock_and_what_is_no_draft(tmp_path: Path) -> None:
    (tmp_path / ".tmp-00000000000000000007-moved-aside").mkdir()
    (tmp_path / "00000000000000000007").mkdir()
    remove_dead_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["00000000000000000007"]
    remove_dead_drafts(tmp_path / "nowhere")


def test_a_draft_that_is_taken_for_dead_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, opened = os.open, list[str]()

    def slow(path: Any, *rest: int, **options: Any) -> int:
        if Path(path).name == "held" and not opened:
            opened.append(path.parent.name)
            remove_dead_drafts(tmp_path)
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "open", slow)
    with drafting(tmp_path, "mine") as draft:
        assert draft.folder.exists() and draft.folder.name not in opened
