"""How releases come and go, in the transaction of who calls: which one answers, which are warm, which stay."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.collection.tables import Collection
from app.db.database import CHANGED
from app.encoder.tables import Encoder
from app.errors import ConflictError
from app.job.repository import JobRepository
from app.release.repository import ReleaseRepository
from app.release.shadow import new_shadow, strip_examples
from app.release.tables import Release, ReleaseAction, ReleaseState

SAMESAY: Final = "samesay"
"""Who does what nobody ordered."""

FIRST: Final = 1
"""Number of the release that a collection is created with."""


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


def refuse_pruned(session: Session, collection: Collection, release: Release) -> None:
    """Raise ConflictError where a release was pruned; says what brings its encoder back, if anything does."""
    if release.state != ReleaseState.PRUNED:
        return
    encoder = session.get_one(Encoder, release.encoder_sha)
    if encoder.removed_at is not None:
        raise ConflictError(f"release {release.number} was pruned, and its encoder removed with it: train a new one")
    raise ConflictError(
        f"release {release.number} was pruned, but its encoder {encoder.name!r} is still there: "
        f"`samesay releases add {collection.name} {encoder.name}` makes a new release of it"
    )


def cool(release: Release) -> None:
    """Have servers keep a release in memory no longer."""
    release.is_warm, release.shadow_share = False, None
    strip_examples(release)


def part_with_encoder(session: Session, sha: str) -> None:
    """Have the bundle of an encoder removed that was trained here, if no release can come to serve with it."""
    encoder = session.get_one(Encoder, sha)
    if encoder.job is not None and not ReleaseRepository(session).is_encoder_used(sha):
        encoder.removed_at = datetime.now(UTC)


class Releases:
    """The releases of one collection, whose row is locked until the transaction ends.

    Args:
        session: Of the unit of work.
        collection: Name of the collection.
        keep: Encoders of so many releases are kept that are neither active nor warm.

    Raises:
        NotFoundError: There is no such collection.
    """

    def __init__(self, session: Session, collection: str, *, keep: int) -> None:
        self._session, self._keep = session, keep
        self._repository = ReleaseRepository(session)
        self.collection: Collection = CollectionRepository(session).get_locked(collection)

    def get(self, number: int) -> Release:
        """One of them, or NotFoundError."""
        return self._repository.get(self.collection.id, number)

    @property
    def active(self) -> Release:
        """The one that answers."""
        return self.get(self.collection.active_release)

    def add(
        self, encoder: Encoder, *, is_accepted: bool, job: str, report: dict[str, Any], who: str, why: str
    ) -> Release:
        """A new one: a candidate, warm from now on in place of other candidates, or one that is refused."""
        release = Release(
            collection_id=self.collection.id,
            number=self._repository.next_number(self.collection.id),
            encoder_sha=encoder.sha,
            state=ReleaseState.CANDIDATE if is_accepted else ReleaseState.REFUSED,
            decision=dict(encoder.manifest["decision"]),
            is_warm=is_accepted,
            job=job,
            report=report,
        )
        self._repository.add(release)
        self._repository.tell(release, ReleaseAction.CREATED if is_accepted else ReleaseAction.REFUSED, who, why)
        if is_accepted:
            self._cool(ReleaseState.CANDIDATE, but=release)
        self._prune()
        self._session.info[CHANGED] = True
        return release

    def warm(self, release: Release) -> None:
        """Have servers keep it in memory.

        Raises:
            ConflictError: It was pruned.
        """
        refuse_pruned(self._session, self.collection, release)
        release.is_warm = True
        self._session.flush()
        self._session.info[CHANGED] = True

    def promote(self, release: Release, who: str, why: str) -> None:
        """Let a release answer; the one before stays warm.

        Raises:
            ConflictError: It answers already, or is not warm.
        """
        before = self.active
        if release.number == before.number:
            raise ConflictError(f"release {release.number} is active already")
        if not release.is_warm:
            raise ConflictError(f"release {release.number} is not kept warm: no server has its index in memory")
        release.previous = before.number
        self._activate(release, before, ReleaseAction.PROMOTED, who, why)

    def roll_back(self, number: int, who: str, why: str) -> Release:
        """Let the release answer again that was active before this one.

        Returns:
            That one.

        Raises:
            ConflictError: This one is not active, or there is none before it that is kept warm, or that was pruned.
        """
        release = self.get(number)
        if number != self.collection.active_release:
            raise ConflictError(
                f"release {number} is not active, {self.collection.active_release} is: nothing was rolled back"
            )
        if release.previous is None:
            raise ConflictError(f"release {number} took over from no other: there is nothing to roll back to")
        before = self.get(release.previous)
        refuse_pruned(self._session, self.collection, before)
        if not before.is_warm:
            raise ConflictError(
                f"release {before.number}, which was active before, is not kept warm any more: "
                f"promote release {before.number}, which builds its index and lets it answer"
            )
        self._activate(before, release, ReleaseAction.ROLLED_BACK, who, why)
        return before

    def shadow(self, release: Release, share: float, examples: int, who: str, why: str) -> None:
        """Ask a warm release a share of the live queries too, from now on; 0 ends that and forgets the examples.

        Raises:
            ConflictError: It answers itself, or is not warm, or another one is asked already.
        """
        if release.number == self.collection.active_release:
            raise ConflictError(f"release {release.number} is active: there is nothing to compare it with")
        if not release.is_warm:
            raise ConflictError(f"release {release.number} is not kept warm: no server has its index in memory")
        if share:
            self._refuse_second_shadow(release)
            release.shadow = new_shadow(examples)
        else:
            strip_examples(release)
        release.shadow_share = share or None
        told = f"asked {share:.2%} of the queries" if share else "asked no more"
        self._repository.tell(release, ReleaseAction.SHADOWED, who, " ".join(filter(None, (told, why))))
        self._session.info[CHANGED] = True

    def _activate(self, release: Release, before: Release, action: ReleaseAction, who: str, why: str) -> None:
        before.state, before.is_warm = ReleaseState.RETIRED, True
        release.state, release.is_warm, release.shadow_share = ReleaseState.ACTIVE, True, None
        strip_examples(release)
        release.activated_at = datetime.now(UTC)
        self.collection.active_release = release.number
        self._repository.tell(release, action, who, why)
        self._cool(ReleaseState.RETIRED, ReleaseState.REFUSED, but=before)
        self._count_shadows_anew()
        self._prune()
        CollectionRepository(self._session).bump(self.collection)
        self._session.info[CHANGED] = True

    def _refuse_second_shadow(self, release: Release) -> None:
        for other in self._repository.list_all(self.collection.id):
            if other.is_warm and other.shadow_share and other.number != release.number:
                raise ConflictError(
                    f"release {other.number} is asked live queries already, and one of a collection is at a time: "
                    f'end that first, with POST .../releases/{other.number}:shadow {{"share": 0}}'
                )

    def _count_shadows_anew(self) -> None:
        """Another release answers: how a shadow compared with the one before says nothing of this one."""
        for release in self._repository.list_all(self.collection.id):
            if release.shadow_share and release.shadow is not None:
                release.shadow = new_shadow(release.shadow["most_examples"])

    def _cool(self, *states: ReleaseState, but: Release) -> None:
        """Keep one release of these states warm, and no other."""
        for release in self._repository.list_all(self.collection.id):
            if release.state in states and release.is_warm and release.number != but.number:
                cool(release)
                self._repository.tell(
                    release, ReleaseAction.COOLED, SAMESAY, f"release {but.number} is kept warm in its place"
                )

    def _prune(self) -> None:
        """Part from the oldest encoders that nobody needs at hand, and no job that is to use them."""
        ordered = JobRepository(self._session).encoders_ordered()
        idle = [
            release
            for release in self._repository.list_all(self.collection.id)
            if not release.is_warm
            and release.state not in (ReleaseState.ACTIVE, ReleaseState.PRUNED)
            and release.encoder_sha not in ordered
        ]
        for release in idle[: max(0, len(idle) - self._keep)]:
            release.state = ReleaseState.PRUNED
            self._repository.tell(
                release, ReleaseAction.PRUNED, SAMESAY, f"of releases that are not at hand the newest {self._keep} stay"
            )
            part_with_encoder(self._session, release.encoder_sha)
        self._session.flush()
