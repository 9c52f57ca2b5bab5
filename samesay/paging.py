"""Lists that come in pages, as one list."""

from dataclasses import replace
from typing import Any, TypeVar

from samesay.answers import Page
from samesay.calls import Call
from samesay.plans import Item, Items, Plan
from samesay.sending import Retries, sent

T = TypeVar("T")


def pages(first: Call[Page[T]], retries: Retries) -> Items[T]:
    """The items of all pages; each page is asked for when it is wanted."""
    return Items(_pages(first, retries))


def _pages(call: Call[Page[Any]], retries: Retries) -> Plan[None]:
    while True:
        page = yield from sent(call, retries)
        for item in page.items:
            yield Item(item)
        if page.next_cursor is None:
            return
        query = {**call.request.query, "cursor": page.next_cursor}
        call = replace(call, request=replace(call.request, query=query))
