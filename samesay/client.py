"""The two clients: everything they can do is a Resource, described once for both."""

from collections.abc import Sequence
from typing import Self

import httpx

from samesay.answers import Info, Similarity
from samesay.calls import Call, asking, listed, path
from samesay.collection import Collection, Collections
from samesay.encoders import Encoders
from samesay.jobs import Jobs
from samesay.operations import Resource, X, operation
from samesay.sending import Retries
from samesay.transports import AsyncTransport, SyncTransport

DEFAULT_URL = "http://127.0.0.1:8765"
DEFAULT_TIMEOUT_S = 60.0


class Server(Resource[X]):
    """What a server has.

    Attributes:
        collections, encoders, jobs: All of them.
    """

    def __init__(self, transport: X) -> None:
        super().__init__(transport)
        self.collections: Collections[X] = Collections(transport)
        self.encoders: Encoders[X] = Encoders(transport)
        self.jobs: Jobs[X] = Jobs(transport)

    def collection(self, name: str) -> Collection[X]:
        """One collection, without asking the server whether it is there."""
        return Collection(self._transport, name)

    @operation
    def info(self) -> Call[Info]:
        """What the server is, and its limits."""
        return asking("GET", path("v1", "info"), Info)

    @operation
    def similarity(self, source: str, targets: Sequence[str], *, encoder: str) -> Call[Similarity]:
        """The cosine of one sentence with each of up to 256 others, by a registered encoder."""
        body = {"encoder": encoder, "source": source, "targets": listed("targets", targets)}
        return asking("POST", path("v1", "similarity"), Similarity, body=body)


class Client(Server[SyncTransport]):
    """A client that blocks; threads may share it.

    Args:
        url: Where the server is.
        api_key: Its key, if it wants one.
        timeout: Seconds to wait for each piece of an answer.
        retries: What is sent again, and when.
        http: Connections of your own, with your own certificates or proxies; you close them.

    Raises:
        ValueError: The URL is no server's, the key has a character that no header may have, or the timeout is no number
            of seconds.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: Retries | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        super().__init__(SyncTransport(url, api_key, timeout, retries or Retries(), http))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class AsyncClient(Server[AsyncTransport]):
    """A client whose methods are awaited, and whose lists are iterated over by `async for`; for one event loop.

    Args:
        url, api_key, timeout, retries, http: As those of Client.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: Retries | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(AsyncTransport(url, api_key, timeout, retries or Retries(), http))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
