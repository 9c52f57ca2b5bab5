"""Groups in the database."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from app.db.base import table_of
from app.errors import NotFoundError
from app.group.tables import Group
from app.http.preconditions import hash_of
from app.record.by_group import in_any_part
from app.record.tables import Record

_GROUPS = table_of(Group)

# built once: see RecordWriter
_IDS: Final = select(_GROUPS.c.key, _GROUPS.c.id).where(
    _GROUPS.c.collection_id == bindparam("collection_id"), _GROUPS.c.key.in_(bindparam("keys", expanding=True))
)
_INSERT: Final = insert(_GROUPS).returning(_GROUPS.c.key, _GROUPS.c.id)


class GroupRepository:
    """Reads and writes groups of one collection.

    Args:
        session: Of the unit of work.
        collection_id: The collection's.
    """

    def __init__(self, session: Session, collection_id: int) -> None:
        self._session = session
        self._collection_id = collection_id

    def find(self, key: str) -> Group | None:
        """The group of this key."""
        statement = select(Group).where(Group.collection_id == self._collection_id, Group.key == key)
        return self._session.scalars(statement).first()

    def get(self, key: str) -> Group:
        """`find`, or raise NotFoundError."""
        found = self.find(key)
        if found is None:
            raise NotFoundError(f"the collection has no group {key[:64]!r}")
        return found

    def list_page(self, after: int, limit: int) -> list[Group]:
        """Up to `limit` groups past the id `after`, oldest first."""
        statement = select(Group).where(Group.collection_id == self._collection_id, Group.id > after)
        return list(self._session.scalars(statement.order_by(Group.id).limit(limit)))

    def count_records(self, groups: Iterable[Group]) -> dict[int, int]:
        """How many records each group has, by its id; empty ones are left out."""
        ids = [group.id for group in groups]
        wanted = in_any_part(self._session), Record.group_id.in_(ids)
        statement = select(Record.group_id, func.count()).where(*wanted).group_by(Record.group_id)
        return {group_id: n for group_id, n in self._session.execute(statement) if group_id is not None}

    def add(self, group: Group) -> None:
        """Store a new one."""
        self._session.add(group)
        self._session.flush()
        self._session.refresh(group)

    def change(self, group: Group, wanted: Mapping[str, Any]) -> None:
        """Set the title, the payload or both; what is the same is left alone."""
        if _set(group, wanted):
            self._session.flush()
            self._session.refresh(group)

    def describe(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Set titles and payloads by key; groups that are missing are made, and what is the same is left alone."""
        if not wanted:
            return
        self.ensure(wanted)
        statement = select(Group).where(Group.collection_id == self._collection_id, Group.key.in_(wanted))
        for group in self._session.scalars(statement).all():
            _set(group, wanted[group.key])
        self._session.flush()

    def delete(self, group: Group) -> None:
        """Delete an empty group."""
        self._session.delete(group)
        self._session.flush()

    def ensure(self, keys: Iterable[str]) -> dict[str, int]:
        """The ids of the groups of these keys; those that are missing are made."""
        wanted = sorted(set(keys))
        known = self._ids(wanted)
        missing = [key for key in wanted if key not in known]
        if missing:
            rows = [{"collection_id": self._collection_id, "key": key} for key in missing]
            known.update(self._session.execute(_INSERT, rows).all())
        return known

    def _ids(self, keys: list[str]) -> dict[str, int]:
        if not keys:
            return {}
        found = self._session.execute(_IDS, {"collection_id": self._collection_id, "keys": keys})
        return dict(found.all())


def _set(group: Group, wanted: Mapping[str, Any]) -> bool:
    """Set what is wanted and count up the version, unless the same JSON is there."""
    if _hash({name: getattr(group, name) for name in wanted}) == _hash(wanted):
        return False
    for name, value in wanted.items():
        setattr(group, name, value)
        flag_modified(group, name)  # like Python, SQLAlchemy takes 1 for true
    group.version += 1
    group.updated_at = func.current_timestamp()
    return True


def _hash(said: Mapping[str, Any]) -> str:
    return hash_of({name: _without_point(value) for name, value in said.items()})


def _without_point(value: Any) -> Any:
    """SQLite keeps a bare 1.0 as 1, which must not look like a change each time."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value
