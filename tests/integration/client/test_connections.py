"""The clients' connections: shared, kept, and closed by whom they belong to."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from samesay import AsyncClient, Client
from tests.conftest import Put
from tests.fakes.running import Running

N = 12


@pytest.fixture
def filled(shared_service: Running, collection: str, put: Put) -> str:
    """A collection of N records, each of words of its own."""
    for number in range(N):
        put(collection, f"r{number}", f"{chr(97 + number) * 5} {number * 1111}")
    return collection


def query(number: int) -> str:
    return f"{chr(97 + number) * 5} {number * 1111}"


def test_threads_share_a_client(shared_service: Running, filled: str) -> None:
    with Client(shared_service.url) as client, ThreadPoolExecutor(8) as pool:
        faq = client.collection(filled)
        found = list(pool.map(lambda number: faq.search(query(number % N)).results[0][0].id, range(10 * N)))
    assert found == [f"r{number % N}" for number in range(10 * N)]


def test_coroutines_share_a_client(shared_service: Running, filled: str) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(shared_service.url) as client:
            faq = client.collection(filled)
            found = await asyncio.gather(*(faq.search(query(number % N)) for number in range(10 * N)))
            return [answer.results[0][0].id for answer in found]

    assert asyncio.run(ask()) == [f"r{number % N}" for number in range(10 * N)]


def test_one_connection_serves_many_calls(shared_service: Running, filled: str) -> None:
    streams = []  # kept, so that no other one gets the same id
    hooks = {"response": [lambda answer: streams.append(answer.extensions["network_stream"])]}
    with httpx.Client(event_hooks=hooks) as http, Client(shared_service.url, http=http) as client:
        for _ in range(5):
            client.collection(filled).search("aaaaa")
        assert len([*client.collection(filled).records.list(page_size=5)]) == N
    assert len(streams) == 5 + 3
    assert len({id(stream) for stream in streams}) == 1


def test_the_callers_connections_are_the_callers_to_close(shared_service: Running) -> None:
    http = httpx.Client()
    with Client(shared_service.url, http=http) as client:
        client.info()
    assert not http.is_closed
    http.close()
    with Client(shared_service.url) as client:
        client.info()
    with pytest.raises(RuntimeError, match="closed"):
        client.info()


def test_a_list_that_is_left_early_leaves_nothing_open(shared_service: Running, filled: str) -> None:
    with Client(shared_service.url) as client:
        records = client.collection(filled).records.list(page_size=2)
        assert [next(records).id, next(records).id] == ["r0", "r1"]
        records.close()  # type: ignore[attr-defined]  # a generator has it
        assert client.collection(filled).records.get("r3").id == "r3"


@pytest.mark.parametrize("url", ["127.0.0.1:8765", "ftp://host", "http://", "http://host:port", ""])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_url_is_refused_at_once(url: str, kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="give http://HOST:PORT"):
        kind(url)


@pytest.mark.parametrize("timeout", [None, 0, -1, float("inf"), float("nan"), "10"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_time_is_refused_at_once(timeout: Any, kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="give a number of seconds"):
        kind("http://host:1", timeout=timeout)
