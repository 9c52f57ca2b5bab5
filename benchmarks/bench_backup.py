"""What a backup costs and its restore: seconds, rows a second and peak memory, on SQLite and on PostgreSQL.

python -m benchmarks.bench_backup [--records 1000000]

The records are made by SQL. PostgreSQL is that of the tests, on this machine and without fsync.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.filled import fill_by_sql
from tests.fakes.postgres import create_database, postgres_server
from tests.fakes.spawned import peak_bytes
from tests.fakes.tiny_bundle import make_tiny_bundle

ROWS_PER_RECORD = 2.6
"""Itself, its change, half a label and a tenth of a group."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    n = parser.parse_args().records
    with tempfile.TemporaryDirectory() as temporary, _postgres_url() as url:
        folder = Path(temporary)
        make_tiny_bundle(folder / "bundle")
        fill_by_sql(folder / "sqlite", folder / "bundle", n)
        file, other_file = folder / "sqlite.tar", folder / "postgres.tar"
        measure(n, "backup of SQLite", "backup", str(file), "--data", str(folder / "sqlite"))
        print(f"  database {_mb(folder / 'sqlite' / 'samesay.db')}, backup {_mb(file)}")
        measure(n, "restore into SQLite", "restore", str(file), "--data", str(folder / "again"))
        new = ("--data", str(folder / "postgres"))
        measure(n, "restore into PostgreSQL", "restore", str(file), *new, SAMESAY_DATABASE_URL=url)
        measure(n, "backup of PostgreSQL", "backup", str(other_file), *new, SAMESAY_DATABASE_URL=url)


def measure(n: int, what: str, *arguments: str, **environment: str) -> None:
    """Run a command and print what it took, its start included."""
    started = time.monotonic()
    peak = peak_bytes(*arguments, **environment)
    seconds = time.monotonic() - started
    rate = f"{n / seconds:,.0f} records/s, {ROWS_PER_RECORD * n / seconds:,.0f} rows/s"
    print(f"{what}: {n:,} records, {seconds:.1f} s, {rate}, peak {peak / 1e6:.0f} MB", flush=True)


@contextmanager
def _postgres_url() -> Iterator[str]:
    with postgres_server() as server:
        yield create_database(server, f"bench_{os.getpid()}")


def _mb(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.0f} MB"


if __name__ == "__main__":
    main()
