"""The records of a collection."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NotRequired, TypedDict

import httpx

from samesay.answers import BatchResult, Erased, MetadataValue, Page, Record, Role, Written
from samesay.calls import Call, Repeat, asking, changing, given, listed
from samesay.operations import OfCollection, X, listing, operation
from samesay.paging import pages
from samesay.plans import Items

Wait = Literal["committed", "visible"]
"""When a write is answered: when it is durable, or when searches find it too."""


class Draft(TypedDict):
    """A record to store, as an item of a batch."""

    id: str
    text: str
    group: NotRequired[str | None]
    labels: NotRequired[Sequence[str]]
    role: NotRequired[Role]
    metadata: NotRequired[Mapping[str, MetadataValue]]


class Records(OfCollection[X]):
    """The records of a collection."""

    @operation
    def get(self, record: str) -> Call[Record]:
        """One record."""
        return asking("GET", self._path("records", record), Record)

    @listing
    def list(self, *, page_size: int = 100) -> Items[Record]:
        """All records, oldest first."""
        call = asking("GET", self._path("records"), Page[Record], query={"limit": page_size})
        return pages(call, self._transport.retries)

    @operation
    def put(
        self,
        record: str,
        text: str,
        *,
        group: str | None = None,
        labels: Sequence[str] = (),
        role: Role = "example",
        metadata: Mapping[str, MetadataValue] | None = None,
        wait: Wait = "committed",
        if_match: str | None = None,
        only_new: bool = False,
    ) -> Call[Written]:
        """Create or replace a record; durable when answered. The same content again changes nothing.

        Args:
            record: Its id.
            wait: "visible": answer when searches find it.
            if_match: Only if it still has this etag, else PreconditionFailedError.
            only_new: Only if there is none yet, else PreconditionFailedError.
        """
        body = given(text=text, group=group, labels=listed("labels", labels) or None, role=role, metadata=metadata)
        where = self._path("records", record)
        return changing("PUT", where, Written, query={"wait": wait}, body=body, if_match=if_match, only_new=only_new)

    @operation
    def delete(self, record: str, *, wait: Wait = "committed", if_match: str | None = None) -> Call[bool | None]:
        """Delete a record; durable when answered.

        Returns:
            With wait="visible": whether searches find it no more; False where that took too long. Else None, and where
            it was deleted by an attempt whose answer got lost.
        """
        where = self._path("records", record)
        call = changing("DELETE", where, None, query={"wait": wait}, if_match=if_match)
        return replace(call, read=_is_visible) if wait == "visible" else call

    @operation
    def change(
        self, *, upsert: Sequence[Draft] = (), delete: Sequence[str] = (), wait: Wait = "committed"
    ) -> Call[BatchResult]:
        """Upsert and delete up to 1,000 records in one transaction; each item has a status of its own."""
        body = {"upsert": [dict(draft) for draft in listed("upsert", upsert)], "delete": listed("delete", delete)}
        where = self._path("records:batch")
        return changing("POST", where, BatchResult, query={"wait": wait}, body=body, repeat=Repeat.WITH_KEY)

    @operation
    def erase(self, records: Sequence[str]) -> Call[Erased]:
        """Delete up to 1,000 records and overwrite every copy of them; takes as long as a new index does.

        Erase them again where that raises UnavailableError: until it is answered, some copy may be left. What an
        earlier attempt has deleted is `missing` then, which is why it is not sent again by itself.
        """
        body = {"ids": listed("records", records)}
        return changing("POST", self._path("records:erase"), Erased, body=body, repeat=Repeat.NEVER)


def _is_visible(response: httpx.Response) -> bool | None:
    """What a deletion's answer says: 202, not yet."""
    return response.status_code == 204 if response.is_success else None
