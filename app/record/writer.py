"""Changes of records: the rows, their labels and the change log, in one transaction and in sequence order."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.db.base import dump_json, table_of
from app.db.insert import insert_returning, insert_rows
from app.group.repository import GroupRepository
from app.http.preconditions import tag_of
from app.record.by_group import in_any_part
from app.record.content import content_hash
from app.record.schemas import RecordDraft
from app.record.tables import Change, ChangeLogEntry, Record, RecordLabel

_TAG_BITS: Final = 62
"""Of the random tag of a writer's changes; non-negative in a signed 64-bit column."""

_MOST_PARAMETERS: Final = 10_000
"""Of one statement; SQLite takes 32,766."""

_RECORDS, _LABELS, _CHANGES = table_of(Record), table_of(RecordLabel), table_of(ChangeLogEntry)

# Built once: building a statement costs several times what running it for one record does.
_KNOWN: Final = select(
    _RECORDS.c.id, _RECORDS.c.record_id, _RECORDS.c.content_hash, _RECORDS.c.seq, _RECORDS.c.version
).where(_RECORDS.c.collection_id == bindparam("collection_id"), _RECORDS.c.id.in_(bindparam("ids", expanding=True)))
_WRITTEN: Final = {"version": _RECORDS.c.version + 1, "updated_at": func.current_timestamp()}
_CONTENT: Final = ("text", "group_id", "role", "source", "metadata", "content_hash", "seq")
_NEW: Final = ("collection_id", "id", *_CONTENT, "version")
_UPDATE: Final = (
    update(_RECORDS)
    .where(_RECORDS.c.record_id == bindparam("b_record_id"))
    .values({name: bindparam(name) for name in _CONTENT} | _WRITTEN)
)
_DETACH: Final = (
    update(_RECORDS)
    .where(_RECORDS.c.record_id == bindparam("b_record_id"))
    # the hash is of no content: any PUT counts as a change
    .values(group_id=None, seq=bindparam("seq"), content_hash="detached-" + _RECORDS.c.content_hash, **_WRITTEN)
)
_DELETE: Final = delete(_RECORDS).where(_RECORDS.c.record_id.in_(bindparam("ids", expanding=True)))
_UNLABEL: Final = delete(_LABELS).where(_LABELS.c.record_id.in_(bindparam("ids", expanding=True)))
_ENTRY: Final = ("collection_id", "seq", "record_id", "op", "tag")


class Written(NamedTuple):
    """What became of one record.

    Attributes:
        seq: Of its last change, which may be an older one.
        version: Of what is stored now, as are the two that follow.
        created: It is new.
        changed: It is new or different.
    """

    seq: int
    record_id: int
    version: int
    content_hash: str
    created: bool
    changed: bool

    @property
    def tag(self) -> str:
        """The ETag."""
        return tag_of(self.record_id, self.version, self.content_hash)


class _Known(NamedTuple):
    record_id: int
    content_hash: str
    seq: int
    version: int


class _Pending(NamedTuple):
    draft: RecordDraft
    group_id: int | None
    digest: str
    seq: int


class RecordWriter:
    """Changes records of one collection, whose row must be locked: `CollectionRepository.get_locked`.

    Args:
        session: Of the unit of work.
        collection_id: The collection's.
    """

    def __init__(self, session: Session, collection_id: int) -> None:
        self._session = session
        self._collection_id = collection_id
        self._tag = secrets.randbits(_TAG_BITS)

    def upsert(self, drafts: Sequence[RecordDraft]) -> list[Written]:
        """Create or replace records, each id once; the same content changes nothing."""
        known = self._known([draft.id for draft in drafts])
        hashes = {draft.id: content_hash(draft) for draft in drafts}
        changed = [d for d in drafts if d.id not in known or known[d.id].content_hash != hashes[d.id]]
        if not changed:
            return [_unchanged(known[draft.id]) for draft in drafts]
        first = CollectionRepository(self._session).take_sequence(self._collection_id, len(changed))
        groups = GroupRepository(self._session, self._collection_id).ensure(d.group for d in changed if d.group)
        pending = [
            _Pending(draft, groups[draft.group] if draft.group else None, hashes[draft.id], seq)
            for seq, draft in enumerate(changed, start=first)
        ]
        ids = self._insert([item for item in pending if item.draft.id not in known])
        ids |= self._update([(item, known[item.draft.id]) for item in pending if item.draft.id in known])
        self._replace_labels(changed, ids, known)
        self._log((item.seq, ids[item.draft.id], Change.UPSERT) for item in pending)
        written = {item.draft.id: _written(item, ids[item.draft.id], known.get(item.draft.id)) for item in pending}
        return [written[draft.id] if draft.id in written else _unchanged(known[draft.id]) for draft in drafts]

    def delete(self, ids: Sequence[str]) -> dict[str, int]:
        """Delete the records that are there.

        Returns:
            Their sequence numbers by id; absent ones are left out.
        """
        known = self._known(ids)
        return self._delete({key: known[key].record_id for key in ids if key in known})

    def delete_group(self, group_id: int) -> None:
        """Delete every record of a group."""
        statement = select(Record.id, Record.record_id).where(in_any_part(self._session), Record.group_id == group_id)
        self._delete(dict(self._session.execute(statement.order_by(Record.record_id)).all()))

    def detach_group(self, group_id: int) -> None:
        """Take every record out of a group."""
        statement = select(Record.record_id).where(in_any_part(self._session), Record.group_id == group_id)
        ids = self._session.scalars(statement.order_by(Record.record_id)).all()
        if not ids:
            return
        first = CollectionRepository(self._session).take_sequence(self._collection_id, len(ids))
        rows = [{"b_record_id": record_id, "seq": seq} for seq, record_id in enumerate(ids, start=first)]
        self._session.execute(_DETACH, rows)
        self._log((row["seq"], row["b_record_id"], Change.UPSERT) for row in rows)

    def mark_change(self) -> None:
        """Log a change of no record: from then on there is a sequence number that nothing before has."""
        seq = CollectionRepository(self._session).take_sequence(self._collection_id, 1)
        self._log([(seq, 0, Change.DELETE)])

    def _known(self, ids: Sequence[str]) -> dict[str, _Known]:
        found = self._session.execute(_KNOWN, {"collection_id": self._collection_id, "ids": ids})
        return {row[0]: _Known(*row[1:]) for row in found}

    def _insert(self, items: Sequence[_Pending]) -> dict[str, int]:
        rows = [
            (
                self._collection_id,
                draft.id,
                draft.text,
                group_id,
                str(draft.role),
                str(draft.source),
                dump_json(draft.metadata),
                digest,
                seq,
                1,
            )
            for draft, group_id, digest, seq in items
        ]
        found = insert_returning(self._session, _RECORDS, _NEW, rows, ("id", "record_id"))
        return dict(found)

    def _update(self, items: Sequence[tuple[_Pending, _Known]]) -> dict[str, int]:
        rows = [
            {
                "text": draft.text,
                "group_id": group_id,
                "role": draft.role,
                "source": draft.source,
                "metadata": draft.metadata,
                "content_hash": digest,
                "seq": seq,
                "b_record_id": known.record_id,
            }
            for (draft, group_id, digest, seq), known in items
        ]
        if rows:
            self._session.execute(_UPDATE, rows)
        return {item.draft.id: known.record_id for item, known in items}

    def _replace_labels(
        self, drafts: Sequence[RecordDraft], ids: Mapping[str, int], known: Mapping[str, _Known]
    ) -> None:
        old = [known[draft.id].record_id for draft in drafts if draft.id in known]
        if old:
            self._session.execute(_UNLABEL, {"ids": old})
        rows = [(ids[draft.id], label) for draft in drafts for label in draft.labels]
        insert_rows(self._session, _LABELS, ("record_id", "label"), rows)

    def _delete(self, records: Mapping[str, int]) -> dict[str, int]:
        if not records:
            return {}
        first = CollectionRepository(self._session).take_sequence(self._collection_id, len(records))
        ids = list(records.values())
        for start in range(0, len(ids), _MOST_PARAMETERS):
            chunk = {"ids": ids[start : start + _MOST_PARAMETERS]}
            self._session.execute(_UNLABEL, chunk)
            self._session.execute(_DELETE, chunk)
        self._log((first + offset, record_id, Change.DELETE) for offset, record_id in enumerate(ids))
        return {key: first + offset for offset, key in enumerate(records)}

    def _log(self, entries: Iterable[tuple[int, int, Change]]) -> None:
        rows = [(self._collection_id, seq, record_id, str(op), self._tag) for seq, record_id, op in entries]
        insert_rows(self._session, _CHANGES, _ENTRY, rows)


def _unchanged(known: _Known) -> Written:
    return Written(known.seq, known.record_id, known.version, known.content_hash, created=False, changed=False)


def _written(item: _Pending, record_id: int, known: _Known | None) -> Written:
    version = 1 if known is None else known.version + 1
    return Written(item.seq, record_id, version, item.digest, created=known is None, changed=True)
