"""Reading releases, and making the first one."""

from datetime import UTC, datetime
from typing import Final

from app.collection.repository import CollectionRepository
from app.db import Database
from app.encoder.tables import Encoder
from app.release.repository import ReleaseRepository
from app.release.schemas import ReleaseAnswer
from app.release.tables import Release, ReleaseState

FIRST: Final = 1
"""Number of the release that a collection is created with."""


class ReleaseService:
    """The releases of collections.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_all(self, collection: str) -> list[ReleaseAnswer]:
        """Every release of a collection, oldest first."""
        return await self._database.read_async(
            lambda session: [
                _to_answer(release)
                for release in ReleaseRepository(session).list_all(CollectionRepository(session).get(collection).id)
            ]
        )

    async def get(self, collection: str, number: int) -> ReleaseAnswer:
        """One release, or NotFoundError."""
        return await self._database.read_async(
            lambda session: _to_answer(
                ReleaseRepository(session).get(CollectionRepository(session).get(collection).id, number)
            )
        )


def first_release(collection_id: int, encoder: Encoder) -> Release:
    """Release 1 of a new collection: serving at once, with the thresholds that the bundle carries."""
    return Release(
        collection_id=collection_id,
        number=FIRST,
        encoder_sha=encoder.sha,
        state=ReleaseState.ACTIVE,
        decision=dict(encoder.manifest["decision"]),
        activated_at=datetime.now(UTC),
    )


def _to_answer(release: Release) -> ReleaseAnswer:
    return ReleaseAnswer(
        number=release.number,
        encoder=release.encoder_sha,
        state=ReleaseState(release.state),
        score=release.decision["score"],
        threshold=release.decision["threshold"],
        margin=release.decision["margin"],
        head_weight=release.decision["head_weight"],
        created_at=release.created_at,
        activated_at=release.activated_at,
    )
