"""Accepting and rejecting: an accepted item becomes a record in the very transaction that says so."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import ConflictError, InvalidValueError, ServiceError
from app.feedback.repository import FeedbackRepository, no_feedback
from app.feedback.schemas import FeedbackPatch, Resolution, ResolvedItem
from app.feedback.tables import Feedback, FeedbackState, Verdict
from app.group.tables import Group
from app.record.by_group import in_any_part
from app.record.repository import RecordRepository
from app.record.schemas import RecordDraft
from app.record.tables import Record, Role, Source
from app.record.writer import RecordWriter

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a text belongs: a group, or none as it is out of scope."""

    group: str | None
    role: Role


class Resolver:
    """Resolves items of one collection, whose row must be locked.

    Args:
        session: Of the unit of work.
        collection_id: The collection's.
        who: Resolves them.
        now: When.

    Attributes:
        n_resolved: Items that were accepted or rejected; those that were so already do not count.
    """

    def __init__(self, session: Session, collection_id: int, who: str, now: datetime) -> None:
        self.n_resolved = 0
        self._session, self._collection_id = session, collection_id
        self._who, self._now = who, now

    def resolve(self, keys: Sequence[str], wanted: FeedbackPatch) -> list[ResolvedItem | ServiceError]:
        """Accept or reject items; one that cannot be resolved fails nobody else.

        Args:
            keys: Of the items, each once.
            wanted: What becomes of them.

        Returns:
            What became of each, or what is wrong with it, in the order given.
        """
        items = FeedbackRepository(self._session, self._collection_id).find_all(keys)
        settled = self._find_settled(items.values())
        outcomes: dict[str, ResolvedItem | ServiceError] = {}
        places: dict[str, _Place] = {}
        for key in keys:
            outcome = self._decide(items.get(key), key, wanted, is_settled=key in settled)
            if isinstance(outcome, _Place):
                places[key] = outcome
            else:
                outcomes[key] = outcome
        outcomes |= self._accept([items[key] for key in places], places)
        self._session.flush()
        return [outcomes[key] for key in keys]

    def _find_settled(self, items: Iterable[Feedback]) -> set[str]:
        """The keys of those that are accepted and whose records are there.

        Of others the records were deleted since, or were not theirs and say something else by now; what was made of an
        item stands for it, also put right by hand.
        """
        accepted = [item for item in items if item.state == FeedbackState.ACCEPTED and item.record]
        records = RecordRepository(self._session, self._collection_id)
        texts = records.find_texts([item.record for item in accepted if item.record])
        return {
            item.key
            for item in accepted
            if item.record in texts and (item.record == _record_of(item) or texts[item.record] == item.text)
        }

    def _decide(
        self, item: Feedback | None, key: str, wanted: FeedbackPatch, *, is_settled: bool
    ) -> ResolvedItem | ServiceError | _Place:
        """Where an item that is to be accepted belongs, or what became of it already."""
        if item is None:
            return no_feedback(key)
        if wanted.state is Resolution.REJECTED:
            return _accepted_already(item) if is_settled else self._reject(item)
        place = _place(item, wanted)
        if place is None:
            return InvalidValueError(
                f"nobody has said where feedback {key!r} belongs: give group, or the role out_of_scope"
            )
        if not is_settled:
            return place
        if (item.group, item.role) == (place.group, place.role):
            return ResolvedItem(id=key, status=_OK, record=item.record, created=False)
        return _accepted_already(item)

    def _reject(self, item: Feedback) -> ResolvedItem:
        if item.state != FeedbackState.REJECTED:
            item.group, item.role, item.record = item.named_group, None, None  # as it was sent
            item.awaits_training = False
            self._mark(item, FeedbackState.REJECTED)
        return ResolvedItem(id=item.key, status=_OK)

    def _accept(self, items: Sequence[Feedback], places: Mapping[str, _Place]) -> dict[str, ResolvedItem]:
        by_place: dict[_Place, list[Feedback]] = defaultdict(list)
        for item in items:
            by_place[places[item.key]].append(item)
        drafts: list[RecordDraft] = []
        for place, together in by_place.items():
            known = self._find_records(place, [item.text for item in together])
            for item in together:
                item.awaits_training = item.text not in known
                if item.awaits_training:
                    drafts.append(self._draft(item, place))
                    known[item.text] = drafts[-1].id
                item.group, item.role, item.record = place.group, place.role, known[item.text]
                self._mark(item, FeedbackState.ACCEPTED)
        RecordWriter(self._session, self._collection_id).upsert(drafts)
        return {
            item.key: ResolvedItem(id=item.key, status=_OK, record=item.record, created=item.awaits_training)
            for item in items
        }

    def _find_records(self, place: _Place, texts: Sequence[str]) -> dict[str, str]:
        """The ids of the records that have these texts in this place already, by text."""
        statement = select(Record.text, Record.id).where(
            in_any_part(self._session),
            Record.collection_id + 0 == self._collection_id,  # else SQLite reads the whole collection
            Record.role == place.role,
            Record.text.in_(texts),
        )
        if place.group is None:
            statement = statement.where(Record.group_id.is_(None))
        else:
            group = select(Group.id).where(Group.collection_id == self._collection_id, Group.key == place.group)
            statement = statement.where(Record.group_id == group.scalar_subquery())
        return dict(self._session.execute(statement.order_by(Record.record_id.desc())).all())

    def _draft(self, item: Feedback, place: _Place) -> RecordDraft:
        provenance = {"feedback": item.key, "accepted_by": self._who, "accepted_at": self._now.isoformat()}
        return RecordDraft(
            id=_record_of(item),
            text=item.text,
            group=place.group,
            role=place.role,
            metadata={**item.metadata_, **provenance},
            source=Source.FEEDBACK,
        )

    def _mark(self, item: Feedback, state: FeedbackState) -> None:
        item.state, item.resolved_by, item.resolved_at = state, self._who, self._now
        self.n_resolved += 1


def _record_of(item: Feedback) -> str:
    """The id of the record that an item becomes, unless another one says the same."""
    return f"feedback-{item.key}"


def _place(item: Feedback, wanted: FeedbackPatch) -> _Place | None:
    """Where an item belongs: as whoever accepts it says, or else as whoever accepted it before or sent it said."""
    if wanted.role is Role.OUT_OF_SCOPE:
        return _Place(None, Role.OUT_OF_SCOPE)
    if wanted.group is not None:
        return _Place(wanted.group, Role.EXAMPLE)
    if item.role is not None and wanted.role in (None, item.role):
        return _Place(item.group, Role(item.role))
    if item.verdict == Verdict.OUT_OF_SCOPE and wanted.role is None:
        return _Place(None, Role.OUT_OF_SCOPE)
    return None if item.group is None else _Place(item.group, Role.EXAMPLE)


def _accepted_already(item: Feedback) -> ConflictError:
    where = "out of scope" if item.group is None else f"in the group {item.group[:64]!r}"
    return ConflictError(
        f"feedback {item.key!r} was accepted already, {where}: change or delete its record {item.record!r} instead"
    )
