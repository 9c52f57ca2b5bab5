"""Names and ids in paths: they stay what they are, and none changes what the path leads to."""

from urllib.parse import unquote

import httpx
import pytest

from samesay import Client
from samesay.calls import path


@pytest.mark.parametrize("name", ["a/b", "../faq", "a/../..", "...", "?x#y", "我 要", "%2e%2e", "r:1", ".hidden"])
def test_a_name_is_one_step_whatever_is_in_it(name: str) -> None:
    sent: list[bytes] = []

    def answering(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.raw_path)
        return httpx.Response(204)

    with Client("http://h", http=httpx.Client(transport=httpx.MockTransport(answering))) as client:
        client.collection("faq").groups.delete(name)
    steps = sent[0].decode().split("/")
    assert steps[:-1] == ["", "v1", "collections", "faq", "groups"]
    assert unquote(steps[-1]) == name


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_http_takes_away_is_refused_and_nothing_is_sent(name: str) -> None:
    def answering(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.method} {request.url} was sent")

    with Client("http://h", http=httpx.Client(transport=httpx.MockTransport(answering))) as client:
        for call in (
            lambda: client.collection("faq").groups.delete(name),
            lambda: client.collection("faq").records.delete(name),
            lambda: client.collection(name).delete(),
            lambda: client.collection(name).search("my money"),
            lambda: client.jobs.get(name),
        ):
            with pytest.raises(ValueError, match="in a URL's path"):
                call()
    assert path("v1", "collections", "faq", "releases", 1) == "/v1/collections/faq/releases/1"
