"""A part of an import into the database, and what is told of each of its rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy.orm import Session

from app.bulk.reading.parsing import GroupRow, Parsed, RecordRow, Rejected
from app.collection.repository import CollectionRepository
from app.errors import NotFoundError
from app.group.repository import GroupRepository
from app.job.errors import JobFailedError
from app.record.writer import RecordWriter

CREATED: Final = "created"
UPDATED: Final = "updated"
UNCHANGED: Final = "unchanged"
REJECTED: Final = "rejected"
GROUP: Final = "group"

_STATUS: Final = {CREATED: 201, UPDATED: 200, UNCHANGED: 200, GROUP: 200}


class RowResult(NamedTuple):
    """What became of a row; `status` as in a batch, `code` says what was done, or what is wrong."""

    line: int
    status: int
    code: str
    id: str | None = None
    detail: str | None = None


def count(results: Sequence[RowResult]) -> Counter[str]:
    """Rows by what was done with them."""
    return Counter(REJECTED if result.status >= 400 else result.code for result in results)


def told_of(row: GroupRow | Rejected) -> RowResult:
    """What is told of a row that is no record."""
    if isinstance(row, Rejected):
        return RowResult(row.line, 422, row.code, detail=row.detail)
    return RowResult(row.line, _STATUS[GROUP], GROUP, row.group.id)


def told_of_record(row: RecordRow, code: str) -> RowResult:
    """What is told of a record of which this was done."""
    return RowResult(row.line, _STATUS[code], code, row.record.id)


def find_collection(session: Session, name: str, collection_id: int, *, lock: bool) -> int:
    """The last change of the collection that an import is for.

    Raises:
        JobFailedError: It is gone; another may have its name.
    """
    repository = CollectionRepository(session)
    try:
        found, last_seq = repository.lock(name) if lock else repository.last_change(name)
    except NotFoundError:
        found = None
    if found != collection_id:
        raise JobFailedError("collection_gone", f"the collection {name!r} was deleted while the import waited or ran")
    return last_seq


def store(session: Session, name: str, collection_id: int, rows: Sequence[Parsed]) -> tuple[list[RowResult], int]:
    """Store what can be stored of some rows.

    Args:
        session: Of the unit of work.
        name: Of the collection.
        collection_id: What had this name when the import came.
        rows: In the order of the file.

    Returns:
        What became of each row, in that order, and the collection's last change now.

    Raises:
        JobFailedError: The collection is gone.
    """
    seq = find_collection(session, name, collection_id, lock=True)
    results = {at: told_of(row) for at, row in enumerate(rows) if not isinstance(row, RecordRow)}
    writer = RecordWriter(session, collection_id)
    for part in _each_id_once(rows):
        for (at, row), written in zip(part.items(), writer.upsert([row.record for row in part.values()]), strict=True):
            results[at] = told_of_record(row, CREATED if written.created else UPDATED if written.changed else UNCHANGED)
            seq = max(seq, written.seq)
    GroupRepository(session, collection_id).describe(_descriptions(rows))
    return [results[at] for at in range(len(rows))], seq


def _each_id_once(rows: Sequence[Parsed]) -> Iterator[dict[int, RecordRow]]:
    """The records by position, parted where an id comes again: of the same id, the later row is to count."""
    part: dict[int, RecordRow] = {}
    ids: set[str] = set()
    for at, row in enumerate(rows):
        if not isinstance(row, RecordRow):
            continue
        if row.record.id in ids:
            yield part
            part, ids = {}, set()
        part[at] = row
        ids.add(row.record.id)
    if part:
        yield part


def _descriptions(rows: Sequence[Parsed]) -> dict[str, dict[str, Any]]:
    """What the rows say of their groups; of the same group and field, the later row counts."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if isinstance(row, Rejected) or row.group is None:
            continue
        said = found.setdefault(row.group.id, {})
        if row.group.title is not None:
            said["title"] = row.group.title
        if row.group.payload is not None:
            said["payload"] = row.group.payload
    return found
