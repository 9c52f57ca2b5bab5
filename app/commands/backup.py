"""`samesay backup` and `samesay restore`: everything in one file, and back; also the way from SQLite to PostgreSQL."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from app.commands.shared import DataOption, load_settings, plain_errors
from model.contract.runtime import check_runtimes

if TYPE_CHECKING:
    from app.backup.manifest import Contents
    from app.backup.progress import Tell
    from app.backup.targets import Target
    from app.settings import Settings


def backup(
    file: Annotated[Path, typer.Argument(help="File to write, a tar; it holds every sentence, and keys: guard it.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    data: DataOption = None,
) -> None:
    """Write the database and its encoders to one file, as of one moment; a server may run and write meanwhile.

    Snapshots of indexes are left out: the first start after a restore encodes every record again, about 7,000 a second.
    """
    started = time.monotonic()
    with plain_errors():
        check_runtimes()
        settings = load_settings(data=data)
        from app.backup.archive import ArchiveWriter
        from app.backup.backing_up import back_up
        from app.db.opening import connect_database, require_database
        from app.errors import BackupError

        if file.is_dir() or (file.exists() and not force):
            raise BackupError(f"{file} is there already: give another name, or --force to replace a file")
        require_database(settings)
        with closing(connect_database(settings)) as database, _telling() as tell, ArchiveWriter(file) as archive:
            contents = back_up(database, settings.encoders, archive, tell)
        print(f"{file}: {_summary(contents, archive.size_bytes, time.monotonic() - started)}")


def restore(
    file: Annotated[Path, typer.Argument(help="What `samesay backup` wrote, here or on another kind of database.")],
    data: DataOption = None,
) -> None:
    """Restore a backup into an empty data folder, or with SAMESAY_DATABASE_URL into an empty PostgreSQL database.

    The first start of the server encodes every record again, about 7,000 a second.
    """
    started = time.monotonic()
    with plain_errors():
        check_runtimes()
        settings = load_settings(data=data)
        from app.backup import restoring
        from app.backup.archive import ArchiveReader
        from app.data_folder import DataFolder

        with ArchiveReader(file) as archive, DataFolder(settings.data), _target(settings) as target, _telling() as tell:
            restoring.restore(archive, target, settings.data, tell)
        summary = _summary(archive.contents, file.stat().st_size, time.monotonic() - started)
        print(f"{file} is restored: {summary}")


@contextmanager
def _target(settings: "Settings") -> Iterator["Target"]:
    from app.backup.targets import PostgresTarget, SqliteTarget
    from app.db.opening import connect_database

    if settings.database_url is None:
        yield SqliteTarget(settings.sqlite_file)
        return
    with closing(connect_database(settings)) as database:
        yield PostgresTarget(database.engine)


@contextmanager
def _telling() -> Iterator["Tell"]:
    """Shows how far it is: bars on a terminal, else a line for each table that is done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what, done, total: _say(console, what, done, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress).tell


class _Bars:
    """A bar for each table, which appears when its turn comes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def tell(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)


def _say(console: Console, what: str, done: int, total: int) -> None:
    if done == total:
        console.print(f"{what}: {total:,}", highlight=False)


def _summary(contents: "Contents", size_bytes: int, seconds: float) -> str:
    """What is in a backup, and what it took."""
    return (
        f"{contents.n_rows:,} rows of {len(contents.tables)} tables and {len(contents.encoders)} encoders, "
        f"{size_bytes / 1e6:,.1f} MB, {seconds:.1f} s, {contents.n_rows / seconds:,.0f} rows/s"
    )
