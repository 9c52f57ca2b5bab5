"""What is kept of a release that is asked live queries beside the active one: counts, and a few of the queries."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from app.release.repository import ReleaseRepository
from app.release.tables import Release

COUNTS: Final = ("queries", "agree", "flips", "to_no_match", "from_no_match", "dropped")
"""Queries asked; those whose nearest record was the same; those whose decision or group was another, and how many of
these came to no match, or from there; and those that were to be asked and were not, since too many waited."""

_SIDES: Final = ("active", "shadow")


@dataclass(slots=True)
class Tally:
    """What a server has counted since it stored it last.

    Attributes:
        counts: See COUNTS.
        seconds: What encoding, searching and deciding took the active release and this one.
        examples: Queries whose decision flipped, with both decisions.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SIDES, 0.0))
    examples: list[dict[str, Any]] = field(default_factory=list)


def new_shadow(most_examples: int) -> dict[str, Any]:
    """Nothing counted yet."""
    tally = Tally()
    return {
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "most_examples": most_examples,
        "counts": tally.counts,
        "seconds": tally.seconds,
        "examples": [],
    }


def merged(stored: dict[str, Any], tally: Tally) -> dict[str, Any]:
    """What is stored, with what a server counted since."""
    return {
        **stored,
        "counts": {name: stored["counts"][name] + tally.counts[name] for name in COUNTS},
        "seconds": {side: stored["seconds"][side] + tally.seconds[side] for side in _SIDES},
        "examples": [*stored["examples"], *tally.examples][: stored["most_examples"]],
    }


def strip_all_examples(session: Session, collection_id: int) -> None:
    """`strip_examples` of every release of a collection, which must be locked."""
    for release in ReleaseRepository(session).list_all(collection_id):
        strip_examples(release)


def strip_examples(release: Release) -> None:
    """Forget the queries that were kept, not the counts."""
    if release.shadow is not None:
        release.shadow = {**release.shadow, "examples": []}
