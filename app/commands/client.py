"""What the commands that talk to a running server share: a client whose errors say what to do."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import httpx

from model.contract.errors import SamesayError

_PASSING: Final = frozenset({429, 502, 503, 504})
"""What a server that starts or is busy answers, or a proxy in its place."""


class ClientError(SamesayError):
    """The server cannot be reached, or refused."""


class PassingError(ClientError):
    """It cannot be reached now, or is not ready: the same request may succeed later."""


class Client:
    """Talks to a running server.

    Args:
        url: Where it is.
        api_key: Its key, if it wants one.

    Attributes:
        url: The same, without a slash at its end.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key.strip()}"} if api_key else {}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=httpx.Timeout(60.0, connect=5.0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """GET, decoded."""
        return self._send("GET", path, params=parameters)

    def post(self, path: str, body: Any, **parameters: Any) -> Any:
        """POST, decoded."""
        return self._send("POST", path, json=body, params=parameters)

    def put(self, path: str, body: Any, **parameters: Any) -> Any:
        """PUT, decoded."""
        return self._send("PUT", path, json=body, params=parameters)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH, decoded."""
        return self._send("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        """DELETE, decoded."""
        return self._send("DELETE", path)

    def upload(self, path: str, content: BinaryIO, headers: Mapping[str, str], **parameters: Any) -> Any:
        """POST a file as it is, decoded."""
        return self._send("POST", path, content=content, headers=headers, params=parameters)

    def lines(self, path: str) -> Iterator[Any]:
        """Lines of NDJSON that tell of something wrong, decoded as they come."""
        with self._explained(), self._http.stream("GET", path) as response:
            self._check(response)
            for line in _lines(response.iter_bytes()):
                row = json.loads(line)
                if row["status"] >= 400:
                    yield row

    def download(self, path: str, file: Path) -> None:
        """GET into a file, which is there whole or not at all."""
        part = file.with_name(f"{file.name}.part")
        try:
            with self._explained(), self._http.stream("GET", path) as response, part.open("wb") as target:
                self._check(response)
                for piece in response.iter_bytes():
                    target.write(piece)
            part.replace(file)
        except OSError as error:
            error.filename = error.filename or str(file)  # a full disk does not say of which
            raise
        finally:
            part.unlink(missing_ok=True)

    def _check(self, response: httpx.Response) -> None:
        if not response.is_success:
            response.read()
            kind = PassingError if response.status_code in _PASSING else ClientError
            raise kind(_explain(response))

    def _send(self, method: str, path: str, **options: Any) -> Any:
        with self._explained():
            response = self._http.request(method, path, **options)
        self._check(response)
        return response.json() if response.content else None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ClientError(f"{self.url} is no URL of a server: {error}; give --url http://HOST:PORT") from None
        except httpx.ConnectError:
            raise PassingError(
                f"no server answers at {self.url}: start one with `samesay serve`, or give --url"
            ) from None
        except httpx.TimeoutException:
            raise PassingError(f"the server at {self.url} does not answer in time: look at its log") from None
        except httpx.TransportError as error:
            raise PassingError(
                f"the connection to {self.url} broke ({error}): what was stored stays; run it again"
            ) from None


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that end with a line feed and nothing else: others stand inside of JSON."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _explain(response: httpx.Response) -> str:
    try:
        problem = response.json()
        detail = problem["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the server answered {response.status_code}, and not as samesay does: is --url right?"
    if response.status_code == 401:
        return f"{detail} (give --api-key, or set SAMESAY_API_KEY)"
    return f"{detail} (HTTP {response.status_code}, {problem.get('code')})"
