"""The records of one moment as the file that a training learns from and is judged by."""

import hashlib
import os
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.job.repository import Progress
from app.job.run import JobRun
from app.record.repository import RecordRepository
from app.record.tables import Role
from app.training.errors import collection_gone, no_records

_AT_ONCE: Final = 1000


def freeze(run: JobRun, path: Path) -> dict[str, Any]:
    """Write every record to a file of NDJSON, as one transaction sees them; it is there whole or not at all.

    Returns:
        rows, groups, out_of_scope: how many there are; seq: the last change they show; sha256: of the file.

    Raises:
        JobFailedError: The collection was deleted, or has no records.
    """
    part = path.with_suffix(".part")
    frozen = run.database.read(lambda session: _write(run, session, part))
    part.replace(path)
    return frozen


def _write(run: JobRun, session: Session, part: Path) -> dict[str, Any]:
    collection = CollectionRepository(session).find(run.collection)
    if collection is None or collection.id != run.collection_id:
        raise collection_gone(run.collection)
    total, _ = CollectionRepository(session).count(collection)
    if not total:
        raise no_records(run.collection)
    digest, groups, n_rows, n_strangers, after = hashlib.sha256(), set[str](), 0, 0, 0
    repository = RecordRepository(session, run.collection_id)
    with part.open("wb") as file:
        while found := repository.list_page(after, _AT_ONCE):
            after = found[-1][0]
            rows = [record.model_dump(include={"id", "text", "group", "labels", "role"}) for _, record in found]
            session.expunge_all()
            lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
            file.write(lines)
            digest.update(lines)
            groups.update(row["group"] for row in rows if row["group"] is not None and row["role"] != Role.OUT_OF_SCOPE)
            n_rows += len(rows)
            n_strangers += sum(row["role"] == Role.OUT_OF_SCOPE for row in rows)
            run.report(Progress("freezing", n_rows, total))
        file.flush()
        os.fsync(file.fileno())
    return {
        "rows": n_rows,
        "groups": len(groups),
        "out_of_scope": n_strangers,
        "seq": collection.last_seq,
        "sha256": digest.hexdigest(),
    }
