"""The releases of a collection: encoder and thresholds that belong together, one of which answers."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import httpx

from samesay.answers import Page, Release, ReleaseEvent, Report, Shadow, Switched
from samesay.calls import Call, Repeat, asking, changing, given, reader
from samesay.jobs import Job, job_reader, starting
from samesay.operations import OfCollection, X, listing, operation
from samesay.paging import pages
from samesay.plans import Items

_SWITCHED = reader(Switched)


class Releases(OfCollection[X]):
    """The releases of a collection."""

    @operation
    def get(self, number: int) -> Call[Release]:
        """One release."""
        return asking("GET", self._path("releases", number), Release)

    @listing
    def list(self) -> Items[Release]:
        """All releases, oldest first."""
        return pages(asking("GET", self._path("releases"), Page[Release]), self._transport.retries)

    @listing
    def events(self, *, page_size: int = 100) -> Items[ReleaseEvent]:
        """What happened to them, newest first: who did what, when and why."""
        call = asking("GET", self._path("release-events"), Page[ReleaseEvent], query={"limit": page_size})
        return pages(call, self._transport.retries)

    @operation
    def report(self, number: int) -> Call[Report]:
        """How a release was made and judged against the one that was active then."""
        return asking("GET", self._path("releases", number, "report"), Report)

    @operation
    def add(
        self,
        encoder: str,
        *,
        gate: Mapping[str, Any] | None = None,
        promote: Literal["auto", "manual"] = "auto",
        when_busy: Literal["queue", "refuse"] = "queue",
        why: str = "",
    ) -> Call[Job[X]]:
        """Make a release of an encoder that was trained elsewhere: the job that judges it as a training's."""
        body = given(encoder=encoder, gate=gate, promote=promote, when_busy=when_busy, why=why)
        where = self._path("releases")
        return starting(self._transport, changing("POST", where, None, body=body, repeat=Repeat.WITH_KEY))

    @operation
    def promote(self, number: int, *, why: str = "") -> Call[Switched | Job[X]]:
        """Let a release answer: at once where it is kept warm, else by the job that builds its index first."""
        call = changing("POST", self._path("releases", f"{number}:promote"), None, body={"why": why}, repeat=_NEVER)

        def read(response: httpx.Response) -> Switched | Job[X]:
            if response.status_code == 202:
                return job_reader(self._transport)(response)
            return cast(Switched, _SWITCHED(response))

        return Call(call.request, read, call.repeat)

    @operation
    def roll_back(self, number: int, *, why: str = "") -> Call[Switched]:
        """Let the release answer again that was active before this one, which must be active now."""
        where = self._path("releases", f"{number}:rollback")
        return changing("POST", where, Switched, body={"why": why}, repeat=_NEVER)

    @operation
    def shadow(
        self, number: int, *, share: float | None = None, examples: int | None = None, why: str = ""
    ) -> Call[Shadow]:
        """Ask a release that is kept warm some of the live queries too; nobody waits for it.

        Args:
            share: Of the queries; 0 ends it.
            examples: Queries kept whose decision flips; 0 keeps no text.
        """
        body = given(share=share, examples=examples, why=why)
        return changing("POST", self._path("releases", f"{number}:shadow"), Shadow, body=body, repeat=_NEVER)

    @operation
    def get_shadow(self, number: int) -> Call[Shadow]:
        """How a release's answers to live queries compare with the active one's."""
        return asking("GET", self._path("releases", number, "shadow"), Shadow)


_NEVER = Repeat.NEVER
"""Done twice, these would be refused, or start anew what has begun."""
