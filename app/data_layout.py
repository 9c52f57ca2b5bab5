"""Where everything lies in a data folder; docs/operations.md says what it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

SNAPSHOTS: Final = "snapshots"
"""A folder of snapshots: of a release, or of a job that makes one."""


def lock_file(data: Path) -> Path:
    """Held by the servers of the folder."""
    return data / "lock"


def owner_note(data: Path) -> Path:
    """Which database the folder belongs to."""
    return data / "database"


def sqlite_file(data: Path) -> Path:
    """The database, where it is SQLite; its log and its locks lie beside it."""
    return data / "samesay.db"


def encoders_folder(data: Path) -> Path:
    """The bundles, by their checksums."""
    return data / "encoders"


def jobs_folder(data: Path) -> Path:
    """What jobs work with and leave, by their keys."""
    return data / "jobs"


def collections_folder(data: Path) -> Path:
    """What is made of the database's collections, by their ids."""
    return data / "collections"


def snapshots_folder(data: Path, collection_id: int, release_id: int) -> Path:
    """The snapshots of a release."""
    return collections_folder(data) / str(collection_id) / "releases" / str(release_id) / SNAPSHOTS


def folders_of_collections(data: Path) -> Iterator[Path]:
    """Those of each collection, then those of each release."""
    for pattern in ("*", "*/releases/*"):
        yield from collections_folder(data).glob(pattern)


def folders_of_snapshots(data: Path) -> Iterator[Path]:
    """Those of the snapshots of each job, then those of each release."""
    yield from jobs_folder(data).glob(f"*/{SNAPSHOTS}")
    yield from collections_folder(data).glob(f"*/releases/*/{SNAPSHOTS}")


def of_one_database(data: Path) -> list[Path]:
    """What belongs to one database alone, there or not; bundles go by their checksums, and may be another's."""
    database = sqlite_file(data)
    beside = [database.with_name(database.name + suffix) for suffix in ("-wal", "-shm")]
    return [database, *beside, collections_folder(data)]
