"""Collections in the database, and the sequence that orders their changes."""

from collections.abc import Collection as AnyOf
from typing import Final

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.db.base import sought, table_of
from app.db.database import CHANGED
from app.errors import NotFoundError
from app.feedback.tables import Feedback
from app.group.tables import Group
from app.record.tables import ChangeLogEntry, ChangeMark, Record, RecordLabel
from app.release.tables import Release, ReleaseEvent

_COLLECTIONS = table_of(Collection)

# built once: see RecordWriter
_LOCK: Final = (
    select(_COLLECTIONS.c.id, _COLLECTIONS.c.last_seq).where(_COLLECTIONS.c.name == bindparam("name")).with_for_update()
)
_TAKE: Final = (
    update(_COLLECTIONS)
    .where(_COLLECTIONS.c.id == bindparam("collection_id"))
    .values(last_seq=_COLLECTIONS.c.last_seq + bindparam("n"))
    .returning(_COLLECTIONS.c.last_seq)
)
_ERASE: Final = (
    update(_COLLECTIONS)
    .where(_COLLECTIONS.c.id == bindparam("collection_id"))
    .values(erasures=_COLLECTIONS.c.erasures + 1)
)


class CollectionRepository:
    """Reads and writes collections.

    Args:
        session: Of the unit of work.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, name: str) -> Collection | None:
        """The collection of this name."""
        return self._session.scalars(select(Collection).where(Collection.name == sought(name))).first()

    def get(self, name: str) -> Collection:
        """`find`, or raise NotFoundError."""
        return self._found(self.find(name), name)

    def get_locked(self, name: str) -> Collection:
        """`get`, keeping every other writer of this collection out until the transaction ends."""
        statement = select(Collection).where(Collection.name == sought(name)).with_for_update()
        return self._found(self._session.scalars(statement).first(), name)

    def lock(self, name: str) -> tuple[int, int]:
        """The id and the last sequence number of a collection, at a quarter of the cost of `get_locked`."""
        found = self._session.execute(_LOCK, {"name": sought(name)}).first()
        if found is None:
            raise _not_found(name)
        return found[0], found[1]

    def count_erasure(self, collection_id: int) -> None:
        """Have no server store a query that it took before this transaction; the collection must be locked."""
        self._session.execute(_ERASE, {"collection_id": collection_id})
        self._session.info[CHANGED] = True

    def last_change(self, name: str) -> tuple[int, int]:
        """The id and the last sequence number of a collection."""
        found = self.get(name)
        return found.id, found.last_seq

    def list_page(self, after: int, limit: int, within: AnyOf[str] | None = None) -> list[Collection]:
        """Up to `limit` collections past the id `after`, oldest first; of all, or of those named."""
        statement = select(Collection).where(Collection.id > after).order_by(Collection.id).limit(limit)
        if within is not None:
            statement = statement.where(Collection.name.in_(within))
        return list(self._session.scalars(statement))

    def add(self, collection: Collection) -> None:
        """Store a new one."""
        self._session.info[CHANGED] = True
        self._session.add(collection)
        self._session.flush()

    def count(self, collection: Collection) -> tuple[int, int]:
        """How many records and groups it has."""
        records = select(func.count()).where(Record.collection_id == collection.id)
        groups = select(func.count()).where(Group.collection_id == collection.id)
        return self._session.scalars(records).one(), self._session.scalars(groups).one()

    def take_sequence(self, collection_id: int, n: int) -> int:
        """Take the next n sequence numbers, in this very transaction, so that commit order is sequence order.

        Returns:
            The first of them.
        """
        self._session.info[CHANGED] = True
        taken = self._session.execute(_TAKE, {"collection_id": collection_id, "n": n}).scalar_one()
        return int(taken) - n + 1

    def bump(self, collection: Collection) -> None:
        """Count up the version after a change."""
        collection.version += 1
        collection.updated_at = func.current_timestamp()
        self._session.flush()
        self._session.refresh(collection)

    def delete(self, collection: Collection) -> None:
        """Delete it and all it holds."""
        self._session.info[CHANGED] = True
        labels = select(Record.record_id).where(Record.collection_id == collection.id)
        self._session.execute(delete(RecordLabel).where(RecordLabel.record_id.in_(labels)))
        for table in (Feedback, ChangeLogEntry, ChangeMark, Record, Group, Release, ReleaseEvent):
            self._delete_all(table, collection.id)
        self._session.delete(collection)
        self._session.flush()

    def _delete_all(
        self,
        table: type[Feedback | ChangeLogEntry | ChangeMark | Record | Group | Release | ReleaseEvent],
        collection_id: int,
    ) -> None:
        statement = delete(table).where(table.collection_id == collection_id)
        self._session.execute(statement, execution_options={"synchronize_session": False})

    def _found(self, collection: Collection | None, name: str) -> Collection:
        if collection is None:
            raise _not_found(name)
        return collection


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(f"there is no collection {name[:64]!r}: GET /v1/collections lists them")
