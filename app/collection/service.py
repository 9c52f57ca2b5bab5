"""Creating, reading, changing and deleting collections."""

import asyncio
import shutil
from collections.abc import Collection as AnyOf
from pathlib import Path

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.collection.schemas import CollectionAnswer, CollectionCreate, CollectionPatch, IndexAnswer
from app.collection.tables import DEFAULT_TARGET_RECALL, Collection
from app.db.database import Database
from app.encoder.repository import EncoderRepository
from app.encoder.service import named_encoder
from app.errors import NameTakenError
from app.feedback.keeping import FeedbackSettings
from app.http.cursors import Cursors
from app.http.preconditions import Precondition, hash_of, tag_of
from app.idempotency.attempts import Attempt, Attempts, forget_answers_about, once
from app.job.repository import JobRepository
from app.job.tables import JobState
from app.release.repository import ReleaseRepository
from app.release.transitions import FIRST, first_release, part_with_encoder
from app.schemas import Page
from app.serving.serving import Serving, ServingStatus

_LISTING = "collections"
_AT_WORK = (JobState.RUNNING, JobState.CANCELLING)


class CollectionService:
    """The collections.

    Args:
        database: Where they are.
        serving: What of them is in memory.
        cursors: Signs the pages of the list.
        attempts: Those that run.
        jobs: Folder of the jobs' files, which may hold records.
    """

    def __init__(self, database: Database, serving: Serving, cursors: Cursors, attempts: Attempts, jobs: Path) -> None:
        self._database = database
        self._serving = serving
        self._cursors = cursors
        self._attempts = attempts
        self._jobs = jobs

    async def create(self, wanted: CollectionCreate, attempt: Attempt | None) -> CollectionAnswer:
        """Create a collection with release 1 of its encoder."""

        def unit(session: Session) -> CollectionAnswer:
            return once(session, attempt, CollectionAnswer, lambda: self._create(session, wanted))

        with self._attempts.running(attempt):
            created = await self._database.write_async(unit)
        self._serving.wake()
        return created

    async def get(self, name: str) -> CollectionAnswer:
        """One collection, or NotFoundError."""
        return await self._database.read_async(
            lambda session: self._to_answer(session, CollectionRepository(session).get(name))
        )

    async def list_page(
        self, cursor: str | None, limit: int, within: AnyOf[str] | None = None
    ) -> Page[CollectionAnswer]:
        """One page of the collections, oldest first; of all, or of those named."""
        after = self._cursors.read(_LISTING, cursor)
        return await self._database.read_async(lambda session: self._list_page(session, after, limit, within))

    async def change(self, name: str, patch: CollectionPatch, precondition: Precondition) -> CollectionAnswer:
        """Change what is given, keep the rest."""
        changed = await self._database.write_async(lambda session: self._change(session, name, patch, precondition))
        self._serving.wake()
        return changed

    async def delete(self, name: str, precondition: Precondition) -> None:
        """Delete a collection with everything in it; its jobs end, and encoders go that were trained for it alone.

        The files of its jobs go too: those of one that runs when its worker has stopped, all others before this ends.
        """
        collection_id, jobs = await self._database.write_async(lambda session: _delete(session, name, precondition))
        self._serving.forget(collection_id)
        for key in jobs:
            await asyncio.to_thread(shutil.rmtree, self._jobs / key, ignore_errors=True)

    def _create(self, session: Session, wanted: CollectionCreate) -> CollectionAnswer:
        repository = CollectionRepository(session)
        encoder = named_encoder(session, wanted.encoder)
        if repository.find(wanted.name) is not None:
            raise NameTakenError(f"there is a collection {wanted.name!r} already: choose another name")
        settings = wanted.model_dump(exclude={"name", "encoder"}, exclude_unset=True)
        collection = Collection(name=wanted.name, settings=settings)
        repository.add(collection)
        ReleaseRepository(session).add(first_release(collection.id, encoder))
        collection.active_release = FIRST
        session.flush()
        session.refresh(collection)
        return self._to_answer(session, collection)

    def _change(
        self, session: Session, name: str, patch: CollectionPatch, precondition: Precondition
    ) -> CollectionAnswer:
        collection = _locked(session, name, precondition)
        wanted = {**collection.settings, **patch.model_dump(exclude_unset=True)}
        if wanted != collection.settings:
            collection.settings = wanted
            CollectionRepository(session).bump(collection)
        return self._to_answer(session, collection)

    def _list_page(self, session: Session, after: int, limit: int, within: AnyOf[str] | None) -> Page[CollectionAnswer]:
        found = CollectionRepository(session).list_page(after, limit + 1, within)
        return self._cursors.page(
            Page[CollectionAnswer], _LISTING, limit, found, lambda row: (row.id, self._to_answer(session, row))
        )

    def _to_answer(self, session: Session, collection: Collection) -> CollectionAnswer:
        release = ReleaseRepository(session).get(collection.id, collection.active_release)
        encoder = EncoderRepository(session).get(release.encoder_sha)
        records, groups = CollectionRepository(session).count(collection)
        status = self._serving.status(collection.id)
        return CollectionAnswer(
            name=collection.name,
            description=collection.settings.get("description"),
            encoder=encoder.sha,
            encoder_name=encoder.name,
            dim=encoder.dim,
            records=records,
            groups=groups,
            last_seq=collection.last_seq,
            visible_seq=min(status.visible_seq, collection.last_seq) if status else 0,
            index_recall=status.index.index_recall if status else None,
            target_index_recall=collection.settings.get("target_index_recall", DEFAULT_TARGET_RECALL),
            index=_index(status) if status else None,
            **FeedbackSettings.of(collection.settings).model_dump(),
            active_release=collection.active_release,
            version=collection.version,
            etag=_tag_of(collection),
            created_at=collection.created_at,
            updated_at=collection.updated_at,
        )


def _index(status: ServingStatus) -> IndexAnswer:
    stats = status.index
    return IndexAnswer(
        kind=stats.spec.name,
        parameters=stats.spec.parameters,
        vectors=stats.count,
        uncompacted=status.uncompacted,
        snapshot_seq=stats.base_seq,
    )


def _tag_of(collection: Collection) -> str:
    return tag_of(collection.id, collection.version, hash_of(collection.settings))


def _locked(session: Session, name: str, precondition: Precondition) -> Collection:
    collection = CollectionRepository(session).get_locked(name)
    precondition.check(_tag_of(collection), what=f"collection {name!r}")
    return collection


def _delete(session: Session, name: str, precondition: Precondition) -> tuple[int, list[str]]:
    """The id that it had, and the jobs of which no worker has the files open."""
    jobs = JobRepository(session)
    jobs.lock_of(name)  # before the collection, as the step of a job does
    collection = _locked(session, name, precondition)
    collection_id = collection.id
    at_rest = [key for key, state in jobs.of_collection(collection_id) if state not in _AT_WORK]
    encoders = {release.encoder_sha for release in ReleaseRepository(session).list_all(collection_id)}
    jobs.end_of_collection(collection_id)
    forget_answers_about(session, collection.name)
    CollectionRepository(session).delete(collection)
    for sha in encoders:
        part_with_encoder(session, sha)
    return collection_id, at_rest
