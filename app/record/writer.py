"""Changes of records: the rows, their labels and the change log, in one transaction and in sequence order."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.db import table_of
from app.group.repository import GroupRepository
from app.preconditions import tag_of
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
_INSERT: Final = insert(_RECORDS).returning(_RECORDS.c.id, _RECORDS.c.record_id)
_CONTENT: Final = ("text", "group_id", "role", "source", "metadata", "content_hash", "seq")
_UPDATE: Final = (
    update(_RECORDS)
    .where(_RECORDS.c.record_id == bindparam("b_record_id"))
    .values({name: bindparam(name) for name in _CONTENT})
    .values(version=_RECORDS.c.version + 1, updated_at=func.current_timestamp())
)
_DELETE: Final = delete(_RECORDS).where(_RECORDS.c.record_id.in_(bindparam("ids", expanding=True)))
_UNLABEL: Final = delete(_LABELS).where(_LABELS.c.record_id.in_(bindparam("ids", expanding=True)))
_LABEL: Final = insert(_LABELS)
_LOG: Final = insert(_CHANGES)


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
        seqs = {draft.id: first + offset for offset, draft in enumerate(changed)}
        groups = GroupRepository(self._session, self._collection_id).ensure(d.group for d in changed if d.group)
        rows = {draft.id: self._row(draft, groups, hashes[draft.id], seqs[draft.id]) for draft in changed}
        ids = self._insert([rows[draft.id] for draft in changed if draft.id not in known])
        self._update([{**rows[d.id], "b_record_id": known[d.id].record_id} for d in changed if d.id in known])
        ids.update((draft.id, known[draft.id].record_id) for draft in changed if draft.id in known)
        self._replace_labels(changed, ids, known)
        self._log((seqs[draft.id], ids[draft.id], Change.UPSERT) for draft in changed)
        return [
            _written(seqs[draft.id], ids[draft.id], hashes[draft.id], known.get(draft.id))
            if draft.id in seqs
            else _unchanged(known[draft.id])
            for draft in drafts
        ]

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
        statement = select(Record).where(in_any_part(self._session), Record.group_id == group_id)
        records = list(self._session.scalars(statement.order_by(Record.record_id)))
        if not records:
            return
        first = CollectionRepository(self._session).take_sequence(self._collection_id, len(records))
        for seq, record in enumerate(records, start=first):
            record.group_id, record.seq, record.version = None, seq, record.version + 1
            record.content_hash = f"detached-{record.content_hash}"  # of no content: any PUT counts as a change
        self._session.flush()
        self._log((record.seq, record.record_id, Change.UPSERT) for record in records)

    def mark_change(self) -> None:
        """Log a change of no record: from then on there is a sequence number that nothing before has."""
        seq = CollectionRepository(self._session).take_sequence(self._collection_id, 1)
        self._log([(seq, 0, Change.DELETE)])

    def _known(self, ids: Sequence[str]) -> dict[str, _Known]:
        found = self._session.execute(_KNOWN, {"collection_id": self._collection_id, "ids": ids})
        return {row[0]: _Known(*row[1:]) for row in found}

    def _row(self, draft: RecordDraft, groups: Mapping[str, int], digest: str, seq: int) -> dict[str, Any]:
        return {
            "collection_id": self._collection_id,
            "id": draft.id,
            "text": draft.text,
            "group_id": groups[draft.group] if draft.group else None,
            "role": draft.role,
            "source": draft.source,
            "metadata": draft.metadata,
            "content_hash": digest,
            "seq": seq,
        }

    def _insert(self, rows: list[dict[str, Any]]) -> dict[str, int]:
        if not rows:
            return {}
        return dict(self._session.execute(_INSERT, rows).all())

    def _update(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        self._session.execute(_UPDATE, [{name: row[name] for name in (*_CONTENT, "b_record_id")} for row in rows])

    def _replace_labels(
        self, drafts: Sequence[RecordDraft], ids: Mapping[str, int], known: Mapping[str, _Known]
    ) -> None:
        old = [known[draft.id].record_id for draft in drafts if draft.id in known]
        if old:
            self._session.execute(_UNLABEL, {"ids": old})
        rows = [{"record_id": ids[draft.id], "label": label} for draft in drafts for label in draft.labels]
        if rows:
            self._session.execute(_LABEL, rows)

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
        rows = [
            {"collection_id": self._collection_id, "seq": seq, "record_id": record_id, "op": op, "tag": self._tag}
            for seq, record_id, op in entries
        ]
        self._session.execute(_LOG, rows)


def _unchanged(known: _Known) -> Written:
    return Written(known.seq, known.record_id, known.version, known.content_hash, created=False, changed=False)


def _written(seq: int, record_id: int, digest: str, known: _Known | None) -> Written:
    version = 1 if known is None else known.version + 1
    return Written(seq, record_id, version, digest, created=known is None, changed=True)
