"""Creating, reading, changing and deleting groups."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.errors import GroupNotEmptyError
from app.group.repository import GroupRepository
from app.group.schemas import GroupAnswer, GroupPatch, GroupPut, RecordsOf
from app.group.tables import Group
from app.http.cursors import Cursors
from app.http.preconditions import Precondition, hash_of, tag_of
from app.record.writer import RecordWriter
from app.schemas import Page
from app.serving.serving import Serving


class GroupService:
    """The groups of collections.

    Args:
        database: Where they are.
        serving: Hears of records that a deletion changed.
        cursors: Signs the pages of the list.
    """

    def __init__(self, database: Database, serving: Serving, cursors: Cursors) -> None:
        self._database = database
        self._serving = serving
        self._cursors = cursors

    async def get(self, collection: str, key: str) -> GroupAnswer:
        """One group, or NotFoundError."""

        def unit(session: Session) -> GroupAnswer:
            repository = _repository(session, collection)
            return _to_answer(repository, repository.get(key))

        return await self._database.read_async(unit)

    async def list_page(self, collection: str, cursor: str | None, limit: int) -> Page[GroupAnswer]:
        """One page of a collection's groups, oldest first."""
        listing = f"{collection}/groups"
        after = self._cursors.read(listing, cursor)

        def unit(session: Session) -> Page[GroupAnswer]:
            repository = _repository(session, collection)
            found = repository.list_page(after, limit + 1)
            counts = repository.count_records(found[:limit])

            def show(group: Group) -> tuple[int, GroupAnswer]:
                return group.id, _with_count(group, counts.get(group.id, 0))

            return self._cursors.page(Page[GroupAnswer], listing, limit, found, show)

        return await self._database.read_async(unit)

    async def put(
        self, collection: str, key: str, wanted: GroupPut, precondition: Precondition
    ) -> tuple[GroupAnswer, bool]:
        """Create or replace a group; the same content changes nothing.

        Returns:
            The group, and whether it is new.
        """

        def unit(session: Session) -> tuple[GroupAnswer, bool]:
            repository = _locked_repository(session, collection)
            group = repository.find(key)
            precondition.check(_tag_of(group) if group else None, what=f"group {key!r}")
            if group is not None:
                return _change(repository, group, wanted.model_dump()), False
            collection_id = CollectionRepository(session).get(collection).id
            group = Group(collection_id=collection_id, key=key, title=wanted.title, payload=wanted.payload)
            repository.add(group)
            return _to_answer(repository, group), True

        return await self._database.write_async(unit)

    async def change(self, collection: str, key: str, patch: GroupPatch, precondition: Precondition) -> GroupAnswer:
        """Change what is given, keep the rest."""

        def unit(session: Session) -> GroupAnswer:
            repository = _locked_repository(session, collection)
            group = repository.get(key)
            precondition.check(_tag_of(group), what=f"group {key!r}")
            return _change(repository, group, patch.model_dump(exclude_unset=True))

        return await self._database.write_async(unit)

    async def delete(self, collection: str, key: str, records: RecordsOf | None, precondition: Precondition) -> None:
        """Delete a group; one that has records only when it is said what becomes of them."""
        await self._database.write_async(lambda session: _delete(session, collection, key, records, precondition))
        self._serving.wake()


def _repository(session: Session, collection: str) -> GroupRepository:
    return GroupRepository(session, CollectionRepository(session).get(collection).id)


def _locked_repository(session: Session, collection: str) -> GroupRepository:
    return GroupRepository(session, CollectionRepository(session).get_locked(collection).id)


def _change(repository: GroupRepository, group: Group, wanted: Mapping[str, Any]) -> GroupAnswer:
    repository.change(group, wanted)
    return _to_answer(repository, group)


def _delete(session: Session, collection: str, key: str, records: RecordsOf | None, precondition: Precondition) -> None:
    collection_id = CollectionRepository(session).get_locked(collection).id
    repository = GroupRepository(session, collection_id)
    group = repository.get(key)
    precondition.check(_tag_of(group), what=f"group {key!r}")
    n_records = repository.count_records([group]).get(group.id, 0)
    if n_records and records is None:
        raise GroupNotEmptyError(
            f"group {key!r} has {n_records} records: add ?records=delete to delete them, ?records=detach to keep them"
        )
    writer = RecordWriter(session, collection_id)
    if records is RecordsOf.DELETE:
        writer.delete_group(group.id)
    elif records is RecordsOf.DETACH:
        writer.detach_group(group.id)
    repository.delete(group)


def _to_answer(repository: GroupRepository, group: Group) -> GroupAnswer:
    return _with_count(group, repository.count_records([group]).get(group.id, 0))


def _tag_of(group: Group) -> str:
    return tag_of(group.id, group.version, hash_of([group.title, group.payload]))


def _with_count(group: Group, records: int) -> GroupAnswer:
    return GroupAnswer(
        id=group.key,
        title=group.title,
        payload=group.payload,
        records=records,
        version=group.version,
        etag=_tag_of(group),
        created_at=group.created_at,
        updated_at=group.updated_at,
    )
