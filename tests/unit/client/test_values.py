"""What cannot be sent is refused where it is given, in words; nothing is sent."""

from typing import Any

import httpx
import pytest

from samesay import AsyncClient, Client


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "is no JSON .*: send numbers that end, or None"),
        (float("-inf"), "is no JSON .*: send numbers that end, or None"),
        ("half \ud83d of one", r"half \\ud83d of one.* holds half a surrogate pair, which is no character: remove it"),
    ],
)
def test_a_value_that_json_lacks_is_refused(value: Any, told: str) -> None:
    def answering(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.method} {request.url} was sent")

    with Client("http://h", http=httpx.Client(transport=httpx.MockTransport(answering))) as client:
        faq = client.collection("faq")
        with pytest.raises(ValueError, match=told):
            faq.records.put("r1", text="my money", metadata={"price": value})
        with pytest.raises(ValueError, match=told):
            faq.import_records([{"text": "my money", "metadata": {"price": value}}])


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["http://h/v1", "http://h/v1/", "https://h/behind/v1"])
def test_an_address_as_other_clients_want_it_is_refused(client: type, url: str) -> None:
    with pytest.raises(ValueError, match="ends with /v1, which this client adds by itself: leave it out"):
        client(url)
