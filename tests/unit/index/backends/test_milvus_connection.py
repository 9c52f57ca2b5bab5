"""The connection to a Milvus server: made when needed, never waiting for the dead. The client is a stand-in."""

import socket
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from index.backends.milvus import connection as milvus_connection
from index.backends.milvus.connection import REST_S
from index.backends.milvus.server import Milvus
from index.errors import IndexServerAwayError, IndexServerRefusedError


class ClientError(Exception):
    """As pymilvus has it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class ArgumentError(ClientError):
    """One of its subclasses."""


class RpcError(Exception):
    """As gRPC has it."""

    def code(self) -> Any:
        return SimpleNamespace(name="UNAVAILABLE")

    def details(self) -> str:
        return "connection refused"


class Client:
    """A client whose every call is counted, and fails as the test wants it."""

    made = 0
    calls = 0
    fails_with: Exception | None = None

    def __init__(self, **given: Any) -> None:
        type(self).made += 1
        self.given = given

    def list_collections(self, timeout: float) -> list[str]:
        type(self).calls += 1
        if self.fails_with is not None:
            raise self.fails_with
        return ["samesay_b", "samesay_a", "theirs"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(milvus_connection.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    grpc = ModuleType("grpc")
    grpc.RpcError = RpcError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "grpc", grpc)
    made = type("Client", (Client,), {})
    library = SimpleNamespace(MilvusClient=made, MilvusException=ClientError)
    monkeypatch.setattr(milvus_connection, "load_pymilvus", lambda: library)
    return made


@pytest.fixture
def listening() -> Iterator[str]:
    """An address where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def deaf() -> str:
    """An address where nobody does."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_it_is_made_once_when_it_is_needed(client: type[Client], listening: str) -> None:
    server = Milvus(listening, token="root:secret")
    assert client.made == 0
    assert server.list_names("samesay_") == server.list_names("samesay_") == ["samesay_a", "samesay_b"]
    assert (client.made, client.calls) == (1, 2)
    assert server._client.given == {"uri": listening, "token": "root:secret", "timeout": 10.0}


def test_nobody_is_waited_for_who_does_not_listen(client: type[Client], clock: list[float]) -> None:
    address = deaf()
    server = Milvus(address)
    with pytest.raises(IndexServerAwayError, match=rf"{address} did not list its collections .*refused"):
        server.list_names("")
    clock[0] += REST_S - 0.1
    with pytest.raises(IndexServerAwayError, match="did not answer a moment ago"):
        server.list_names("")
    assert client.made == 0
    clock[0] += 0.2
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        assert server.list_names("samesay_a") == ["samesay_a"]


@pytest.mark.parametrize("error", [RpcError(), ClientError(1, "deadline exceeded"), ClientError(2, "nobody there")])
def test_after_a_call_without_an_answer_others_fail_at_once_for_a_while(
    client: type[Client], listening: str, clock: list[float], error: Exception
) -> None:
    server = Milvus(listening)
    server.list_names("")
    client.fails_with = error
    for _ in range(3):
        with pytest.raises(IndexServerAwayError, match=listening):
            server.list_names("")
    assert client.calls == 2
    client.fails_with = None
    with pytest.raises(IndexServerAwayError, match="a moment ago"):
        server.list_names("")
    clock[0] += REST_S
    assert server.list_names("theirs") == ["theirs"]


@pytest.mark.parametrize("error", [ClientError(65535, "no rights"), ArgumentError(1, "a wrong argument")])
def test_a_no_is_told_and_asked_again_at_once(
    client: type[Client], listening: str, clock: list[float], error: Exception
) -> None:
    server = Milvus(listening)
    client.fails_with = error
    for _ in range(2):
        with pytest.raises(IndexServerRefusedError, match=f"refused to list its collections: {error}"):
            server.list_names("")
    assert client.calls == 2
