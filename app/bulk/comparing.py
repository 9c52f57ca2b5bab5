"""A dry run of an import: what storing its rows would do, without doing it."""

import errno
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from app.bulk.reading.parsing import Parsed, RecordRow
from app.bulk.storing import CREATED, UNCHANGED, UPDATED, RowResult, find_collection, told_of, told_of_record
from app.record.content import content_hash
from app.record.repository import RecordRepository

SEEN: Final = "seen.db"
"""Name of the file of ids so far, in the job's folder."""


class Comparison:
    """Compares rows with the records that are there, and with the rows before them in the file.

    Args:
        folder: Of the job; the ids of the rows so far are kept there, not in memory.
        name: Of the collection.
        collection_id: What had this name when the import came.
    """

    def __init__(self, folder: Path, name: str, collection_id: int) -> None:
        self._name, self._collection_id = name, collection_id
        self._seen = sqlite3.connect(folder / SEEN, check_same_thread=False, isolation_level=None)
        self._seen.execute("PRAGMA synchronous=OFF")
        self._seen.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT, row INTEGER, hash TEXT, PRIMARY KEY (id, row))")

    def compare(self, session: Session, rows: Sequence[Parsed], first: int) -> tuple[list[RowResult], int]:
        """What storing the rows would do.

        Args:
            session: Of the unit of work.
            rows: In the order of the file.
            first: Rows before them; what a step that was cut off has left of later ones does not count.

        Returns:
            As `store`.

        Raises:
            JobFailedError: The collection is gone.
            OSError: The disk is full, or refuses.
        """
        seq = find_collection(session, self._name, self._collection_id, lock=False)
        ids = [row.record.id for row in rows if isinstance(row, RecordRow)]
        hashes = RecordRepository(session, self._collection_id).find_hashes(ids) | self._find_seen(ids, first)
        results = [self._compare(row, hashes) for row in rows]
        fresh = {row.record.id: hashes[row.record.id] for row in rows if isinstance(row, RecordRow)}
        self._keep([(key, first, digest) for key, digest in fresh.items()])
        return results, seq

    def _keep(self, seen: Sequence[tuple[str, int, str]]) -> None:
        try:
            self._seen.execute("BEGIN")
            self._seen.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", seen)
            self._seen.execute("COMMIT")
        except sqlite3.OperationalError as error:  # of a file of the job, as any other
            number = errno.ENOSPC if error.sqlite_errorcode == sqlite3.SQLITE_FULL else errno.EIO
            raise OSError(number, os.strerror(number)) from error

    def _compare(self, row: Parsed, hashes: dict[str, str]) -> RowResult:
        if not isinstance(row, RecordRow):
            return told_of(row)
        before, hashes[row.record.id] = hashes.get(row.record.id), content_hash(row.record)
        return told_of_record(
            row, CREATED if before is None else UNCHANGED if before == hashes[row.record.id] else UPDATED
        )

    def _find_seen(self, ids: Sequence[str], first: int) -> dict[str, str]:
        """The hash of each id when it came last before the row `first`."""
        marks = ",".join("?" * len(ids))
        found = self._seen.execute(
            f"SELECT id, hash FROM seen WHERE id IN ({marks}) AND row < ? ORDER BY row", [*ids, first]
        )
        return dict(found)
