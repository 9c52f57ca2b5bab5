"""The groups of a collection."""

from typing import Any, Literal

from samesay.answers import Group, Page
from samesay.calls import KEEP, Call, Keep, asking, changed, changing, given
from samesay.operations import OfCollection, X, listing, operation
from samesay.paging import pages
from samesay.plans import Items


class Groups(OfCollection[X]):
    """The groups of a collection."""

    @operation
    def get(self, group: str) -> Call[Group]:
        """One group."""
        return asking("GET", self._path("groups", group), Group)

    @listing
    def list(self, *, page_size: int = 100) -> Items[Group]:
        """All groups, oldest first."""
        return pages(
            asking("GET", self._path("groups"), Page[Group], query={"limit": page_size}), self._transport.retries
        )

    @operation
    def put(
        self,
        group: str,
        *,
        title: str | None = None,
        payload: Any = None,
        if_match: str | None = None,
        only_new: bool = False,
    ) -> Call[Group]:
        """Create or replace a group.

        Args:
            group: Its id.
            payload: Any JSON to get back with it, such as the answer to its question.
            if_match: Only if it still has this etag, else PreconditionFailedError.
            only_new: Only if there is none yet, else PreconditionFailedError.
        """
        body = given(title=title, payload=payload)
        return changing("PUT", self._path("groups", group), Group, body=body, if_match=if_match, only_new=only_new)

    @operation
    def change(
        self, group: str, *, title: str | Keep | None = KEEP, payload: Any = KEEP, if_match: str | None = None
    ) -> Call[Group]:
        """Change what is given, keep the rest."""
        body = changed(title=title, payload=payload)
        return changing("PATCH", self._path("groups", group), Group, body=body, if_match=if_match)

    @operation
    def delete(
        self, group: str, *, records: Literal["delete", "detach"] | None = None, if_match: str | None = None
    ) -> Call[None]:
        """Delete a group; ConflictError for one that has records, unless `records` says what becomes of them."""
        return changing("DELETE", self._path("groups", group), None, query={"records": records}, if_match=if_match)
