"""The job of an export: every group and record of one moment, to one file."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from sqlalchemy.orm import Session

from app.bulk.export_forms import EXPORT_FILES
from app.collection.repository import CollectionRepository
from app.encoder.store import EncoderStore
from app.encoding.bulk import encode_many
from app.errors import NotFoundError
from app.group.repository import GroupRepository
from app.job.errors import JobFailedError
from app.job.repository import Progress
from app.job.run import JobRun
from app.job.tables import JobState
from app.record.repository import RecordRepository
from app.record.schemas import RecordAnswer
from app.release.repository import ReleaseRepository
from model.contract.bundle import Bundle
from model.contract.files import sync_path

KEPT_S: Final = 7 * 24 * 3600.0
"""So long the file of an export is kept: a nightly one would fill the disk else."""

_AT_ONCE: Final = 1000
_PART: Final = ".part"


def run_export(run: JobRun, encoders: EncoderStore) -> dict[str, Any]:
    """Write the file; an attempt that was cut off is begun anew.

    Raises:
        JobFailedError: The collection was deleted.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    return run.database.read(lambda session: _Export(run, session, encoders).run())


def clean_up(folder: Path, state: JobState) -> None:
    """Leave nothing of an export that did not succeed, and no file for longer than KEPT_S."""
    for path in folder.glob("export*"):
        with suppress(FileNotFoundError):  # another server tidies too
            is_old = time.time() - path.stat().st_mtime > KEPT_S
            if state is not JobState.SUCCEEDED or path.suffix == _PART or is_old:
                path.unlink()


class _Export:
    """One attempt, in one read transaction: the file shows one moment, whatever is written meanwhile."""

    def __init__(self, run: JobRun, session: Session, encoders: EncoderStore) -> None:
        self._run, self._session = run, session
        try:
            collection = CollectionRepository(session).get(run.collection)
        except NotFoundError:
            collection = None
        if collection is None or collection.id != run.collection_id:
            raise JobFailedError("collection_gone", f"the collection {run.collection!r} was deleted meanwhile")
        self._total, _ = CollectionRepository(session).count(collection)
        self._seq = collection.last_seq
        self._bundle: Bundle | None = None
        if run.request["vectors"]:
            release = ReleaseRepository(session).get(collection.id, collection.active_release)
            self._bundle = encoders.get(release.encoder_sha)
        self._form = EXPORT_FILES[run.request["format"]]

    def run(self) -> dict[str, Any]:
        path = self._run.folder / self._form.name
        part = path.with_name(f"{path.name}.{token_hex(4)}{_PART}")  # one taken for dead may still write
        writer = self._form.writer(part, None if self._bundle is None else self._bundle.encoder.dim)
        n_groups = n_records = 0
        try:
            for groups in self._groups():
                writer.write(groups)
                n_groups += len(groups)
            for records in self._records():
                writer.write(records)
                n_records += len(records)
                self._run.report(Progress("writing", n_records, self._total))
        finally:
            writer.close()
        self._run.check()
        _make_durable(part, path)
        return {
            "format": self._run.request["format"],
            "vectors": self._run.request["vectors"],
            "records": n_records,
            "groups": n_groups,
            "seq": self._seq,
            "bytes": path.stat().st_size,
        }

    def _groups(self) -> Iterator[list[dict[str, Any]]]:
        """A row of its own for each group: rows of records name it only."""
        repository, after = GroupRepository(self._session, self._run.collection_id), 0
        while groups := repository.list_page(after, _AT_ONCE):
            after = groups[-1].id
            yield [{"group": group.key, "title": group.title, "payload": group.payload} for group in groups]
            self._session.expunge_all()

    def _records(self) -> Iterator[list[dict[str, Any]]]:
        repository, after = RecordRepository(self._session, self._run.collection_id), 0
        while found := repository.list_page(after, _AT_ONCE):
            after = found[-1][0]
            rows = [_row(record) for _, record in found]
            if self._bundle is not None:
                vectors = encode_many(self._bundle.encoder, [record.text for _, record in found])
                for row, vector in zip(rows, vectors, strict=True):
                    row["vector"] = vector
            yield rows
            self._session.expunge_all()


def _row(record: RecordAnswer) -> dict[str, Any]:
    return {
        "id": record.id,
        "text": record.text,
        "group": record.group,
        "labels": record.labels,
        "role": record.role,
        "metadata": record.metadata,
    }


def _make_durable(part: Path, path: Path) -> None:
    sync_path(part)
    part.replace(path)
    sync_path(path.parent)  # after it: what is called a part still is tidied away
