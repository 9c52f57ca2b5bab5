"""Reading records."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from app.db.base import table_of
from app.errors import NotFoundError
from app.group.tables import Group
from app.http.preconditions import tag_of
from app.record.schemas import RecordAnswer
from app.record.tables import Record, RecordLabel, Role, Source

_RECORDS = table_of(Record)
_TAGGED: Final = select(_RECORDS.c.record_id, _RECORDS.c.version, _RECORDS.c.content_hash).where(
    _RECORDS.c.collection_id == bindparam("collection_id"), _RECORDS.c.id == bindparam("key")
)

_HASHES: Final = select(_RECORDS.c.id, _RECORDS.c.content_hash).where(
    _RECORDS.c.collection_id == bindparam("collection_id"), _RECORDS.c.id.in_(bindparam("keys", expanding=True))
)


class RecordRepository:
    """Reads records of one collection.

    Args:
        session: Of the unit of work.
        collection_id: The collection's.
    """

    def __init__(self, session: Session, collection_id: int) -> None:
        self._session = session
        self._collection_id = collection_id

    def get(self, key: str) -> RecordAnswer:
        """One record, or raise NotFoundError."""
        row = self._session.execute(self._all().where(Record.id == key)).first()
        if row is None:
            raise no_record(key)
        return _to_answer(row[0], row[1], self._labels([row[0].record_id]).get(row[0].record_id, []))

    def find_tag(self, key: str) -> str | None:
        """The ETag of a record, None where there is none."""
        found = self._session.execute(_TAGGED, {"collection_id": self._collection_id, "key": key}).first()
        return None if found is None else tag_of(*found)

    def find_hashes(self, keys: Sequence[str]) -> dict[str, str]:
        """The content hashes of the records that there are of these ids."""
        return dict(self._session.execute(_HASHES, {"collection_id": self._collection_id, "keys": keys}).all())

    def find_texts(self, keys: Sequence[str]) -> dict[str, str]:
        """The texts of the records that there are of these ids."""
        statement = select(Record.id, Record.text).where(
            Record.collection_id == self._collection_id, Record.id.in_(keys)
        )
        return dict(self._session.execute(statement).all())

    def list_page(self, after: int, limit: int) -> list[tuple[int, RecordAnswer]]:
        """Up to `limit` records past the record_id `after`, oldest first, each with its record_id."""
        statement = self._all().where(Record.record_id > after).order_by(Record.record_id).limit(limit)
        rows = self._session.execute(statement).all()
        labels = self._labels(row[0].record_id for row in rows)
        return [(row[0].record_id, _to_answer(row[0], row[1], labels.get(row[0].record_id, []))) for row in rows]

    def _all(self) -> Select[Record, str | None]:
        statement = select(Record, Group.key).outerjoin(Group, Group.id == Record.group_id)
        return statement.where(Record.collection_id == self._collection_id)

    def _labels(self, record_ids: Iterable[int]) -> dict[int, list[str]]:
        labels: dict[int, list[str]] = {}
        statement = select(RecordLabel.record_id, RecordLabel.label).where(RecordLabel.record_id.in_(list(record_ids)))
        for record_id, label in self._session.execute(statement.order_by(RecordLabel.label)):
            labels.setdefault(record_id, []).append(label)
        return labels


def no_record(key: str) -> NotFoundError:
    """What to raise of a record that is not there."""
    return NotFoundError(f"the collection has no record {key[:64]!r}")


def _to_answer(record: Record, group: str | None, labels: list[str]) -> RecordAnswer:
    return RecordAnswer(
        id=record.id,
        text=record.text,
        group=group,
        labels=labels,
        role=Role(record.role),
        source=Source(record.source),
        metadata=record.metadata_,
        seq=record.seq,
        version=record.version,
        etag=tag_of(record.record_id, record.version, record.content_hash),
        created_at=record.created_at,
        updated_at=record.updated_at,
    )
