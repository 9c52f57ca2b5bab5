"""What a page is made from, and whose texts it needs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from app.release.page.wording import Sentences
from app.release.schemas import EventAnswer

MOST_GROUPS: Final = 50
"""Groups shown, the worst."""

MOST_FINDINGS: Final = 20
"""Findings of each kind that are shown."""

MOST_SENTENCES: Final = 10
"""Sentences shown of a finding, or of one side of a confusion."""

MOST_TEXTS: Final = 2000
"""Sentences looked up for one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSource:
    """A release and its report.

    Attributes:
        collection, number: Which release.
        report: As stored; see app/training/report.py.
        events: What happened to the release, newest first.
        texts: What the records named by the report say now, by the client's id.
    """

    collection: str
    number: int
    report: Mapping[str, Any]
    events: Sequence[EventAnswer]
    texts: Mapping[str, str]

    @property
    def verdict(self) -> Mapping[str, Any]:
        """What the gate said."""
        found: Mapping[str, Any] = self.report["verdict"]
        return found

    @property
    def check(self) -> Mapping[str, Any]:
        """What the data check found."""
        found: Mapping[str, Any] = self.report["check"]
        return found

    @property
    def previous(self) -> int:
        """Number of the release that it was judged against."""
        return int(self.report["previous"])

    @property
    def sentences(self) -> Sentences:
        """Shows records by their ids."""
        return Sentences(self.texts)


def ids_named(report: Mapping[str, Any]) -> list[str]:
    """The ids of the records that a page of this report shows, each once, up to MOST_TEXTS."""
    return list(islice(dict.fromkeys(_named(report)), MOST_TEXTS))


def findings_by_kind(check: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """The findings that are shown, worst first, by their kind."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for finding in check.get("findings", ()):
        by_kind.setdefault(finding["kind"], []).append(finding)
    return {kind: found[:MOST_FINDINGS] for kind, found in by_kind.items()}


def _named(report: Mapping[str, Any]) -> Iterator[str]:
    for confusion in report["verdict"].get("confusions", ()):
        yield from confusion["asked"][:MOST_SENTENCES]
        yield from confusion["caused_by"][:MOST_SENTENCES]
    for found in findings_by_kind(report["check"]).values():
        for finding in found:
            yield from finding["ids"][:MOST_SENTENCES]
