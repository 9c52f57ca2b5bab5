"""The Makefile on a machine where something is missing: it says what, and the remedy."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(ROOT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path},
        timeout=60,
    )


def test_help_lists_every_target() -> None:
    listed = {line.split()[0] for line in make("help").stdout.splitlines() if "\t" not in line and "  " in line}
    assert {"setup", "demo", "serve", "test", "check", "bench", "help"} <= listed


@pytest.mark.parametrize(
    ("python", "remedy"),
    [
        ("nowhere/python3", "needs Python 3.11 to 3.13 as 'nowhere/python3'"),
        ("{old}", "needs Python 3.11 to 3.13"),
        ("{no_venv}", "apt-get install python3-venv"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, python: str, remedy: str) -> None:
    old, no_venv = tmp_path / "old", tmp_path / "no_venv"
    old.write_text("#!/bin/sh\nexit 1\n")
    no_venv.write_text('#!/bin/sh\ncase "$2" in *venv*) exit 1;; esac\n')
    for fake in (old, no_venv):
        fake.chmod(0o755)
    named = python.format(old=old, no_venv=no_venv)
    done = make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={named}")
    assert done.returncode != 0
    assert remedy in done.stdout + done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    for tool in ("make", "sh", "echo"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}")
    fake = tmp_path / "python3"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    done = make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={fake}", path=str(tmp_path))
    assert done.returncode != 0
    assert "apt-get install gcc" in done.stdout
