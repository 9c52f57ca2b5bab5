"""Where several values are wanted, one alone is refused: a string is a sequence of its characters too."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from samesay import AsyncClient, Client

CALLS: dict[str, Callable[[Any], Any]] = {
    "erase": lambda client: client.collection("faq").records.erase("r1"),
    "delete": lambda client: client.collection("faq").records.change(delete="r1"),
    "upsert": lambda client: client.collection("faq").records.change(upsert={"id": "r1", "text": "my money"}),
    "labels": lambda client: client.collection("faq").records.put("r1", "my money", labels="refund"),
    "targets": lambda client: client.similarity("my money", "my parcel", encoder="faq"),
    "search": lambda client: client.collection("faq").search(b"my money"),
    "classify": lambda client: client.collection("faq").classify(b"my money"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_one_value_is_not_taken_for_several(call: Callable[[Any], Any]) -> None:
    def answering(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.method} {request.url} was sent with {request.content!r}")

    transport = httpx.MockTransport(answering)
    for client in (
        Client("http://h", http=httpx.Client(transport=transport)),
        AsyncClient("http://h", http=httpx.AsyncClient(transport=transport)),
    ):
        with pytest.raises(TypeError, match="give a list, also of one"):
            call(client)


def test_any_iterable_of_values_is_several() -> None:
    bodies: list[bytes] = []

    def answering(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(200, json={"erased": ["r1", "r2"], "missing": [], "seq": 1})

    with Client("http://h", http=httpx.Client(transport=httpx.MockTransport(answering))) as client:
        for ids in (["r1", "r2"], ("r1", "r2"), {"r1": 0, "r2": 0}.keys()):
            client.collection("faq").records.erase(ids)  # type: ignore[arg-type]  # keys are no sequence, and work
    assert bodies == [b'{"ids": ["r1", "r2"]}'] * 3
