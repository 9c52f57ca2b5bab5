"""What the commands that talk to a running server share: a client whose errors say what to do."""

import json
import os
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote

import httpx

from model.contract.errors import SamesayError

_PASSING: Final = frozenset({429, 502, 503, 504})
"""What a server that starts or is busy answers, or a proxy in its place."""

_PIECE_BYTES: Final = 65_536

_MOST_ITEMS: Final = 1000
"""Items that a page has at most."""


class ClientError(SamesayError):
    """The server cannot be reached, or refused."""


class PassingError(ClientError):
    """It cannot be reached now, or is not ready: the same request may succeed later."""


class ForbiddenError(ClientError):
    """The key does not allow it."""


def path_of(*steps: str) -> str:
    """A path of quoted steps below /v1: ("jobs", "x/y") is /v1/jobs/x%2Fy.

    Raises:
        ClientError: A step is "", "." or "..": HTTP takes these away, and with ".." the step before it.
    """
    for step in steps:
        if step in ("", ".", "..") or _is_broken(step):
            raise ClientError(f"{step!a} is not the name or id of anything here: give another one")
    return "/v1" + "".join("/" + quote(step, safe="") for step in steps)


class Client:
    """Talks to a running server.

    Args:
        url: Where it is.
        api_key: Its key, if it wants one.

    Raises:
        ClientError: This can be no key, no URL, or the environment names a proxy that cannot be used.

    Attributes:
        url: The same, without a slash at its end.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        key = (api_key or "").strip()  # as servers take it from the same variable
        if not (key.isascii() and key.isprintable()):
            raise ClientError("--api-key has a character that no header may have: give the key as it was printed")
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(60.0, connect=5.0)
        with self._explained():
            transport = httpx.HTTPTransport() if _is_here(self.url) else None  # with one no proxy is asked
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """GET, decoded."""
        return self._send("GET", path, params=parameters)

    def items(self, path: str, **parameters: Any) -> list[Any]:
        """All items of a list that is told in pages."""
        return self.first(sys.maxsize, path, **parameters)[0]

    def first(self, limit: int, path: str, **parameters: Any) -> tuple[list[Any], bool]:
        """The first items of a list that is told in pages, up to a limit, and whether there are more."""
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, limit=min(_MOST_ITEMS, limit - len(items)), **parameters, **cursor)
            items += page["items"]
            is_last = page["next_cursor"] is None
            if is_last or len(items) >= limit:
                return items, not is_last
            cursor = {"cursor": page["next_cursor"]}

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
        """POST a file as it is now, decoded; what is appended meanwhile is left out. Of a pipe, all that comes."""
        size = _size_of(content)
        if size is None:
            pieces = iter(partial(content.read, _PIECE_BYTES), b"")
        else:
            pieces, headers = _pieces(content, size), {**headers, "Content-Length": str(size)}
        return self._send("POST", path, content=pieces, headers=headers, params=parameters)

    def lines(self, path: str) -> Iterator[Any]:
        """Lines of NDJSON that tell of something wrong, decoded as they come."""
        with self._explained(), self._http.stream("GET", path) as response:
            self._check(response)
            for line in _lines(response.iter_bytes()):
                row = self._read(line, response)
                if row["status"] >= 400:
                    yield row

    def copy(self, path: str, target: BinaryIO) -> None:
        """GET, written as it comes."""
        with self._explained(), self._http.stream("GET", path) as response:
            self._check(response)
            for piece in response.iter_bytes():
                target.write(piece)

    def download(self, path: str, file: Path) -> None:
        """GET into a file, which is there whole or not at all."""
        part = file.with_name(f"{file.name}.{uuid.uuid4().hex[:12]}.part")  # nobody else's, nor another download's
        try:
            try:
                with part.open("wb") as target:
                    self.copy(path, target)
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            error.filename = str(file)  # a full disk does not say of which
            raise

    def _check(self, response: httpx.Response) -> None:
        if not response.is_success:
            response.read()
            raise _kind_of(response.status_code)(_explain(response))

    def _send(self, method: str, path: str, **options: Any) -> Any:
        with self._explained():
            response = self._http.request(method, path, **options)
        self._check(response)
        return None if response.status_code == httpx.codes.NO_CONTENT else self._read(response.content, response)

    def _read(self, content: bytes, response: httpx.Response) -> Any:
        try:
            return json.loads(content)
        except ValueError:
            raise ClientError(f"{self.url}: {_strange(response)}") from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ClientError(f"{self.url} is no URL of a server: {error}; give --url http://HOST:PORT") from None
        except UnicodeEncodeError as error:
            raise ClientError(f"{error.object!a} has bytes that are no UTF-8: give it as UTF-8") from None
        except (ImportError, ValueError) as error:  # of a proxy that the environment names, or a number like NaN
            raise ClientError(f"nothing can be sent to {self.url}: {error}") from None
        except httpx.ConnectError:
            raise PassingError(
                f"no server answers at {self.url}: start one with `samesay serve`, or give --url"
            ) from None
        except httpx.TimeoutException:
            raise PassingError(f"the server at {self.url} does not answer in time: look at its log") from None
        except httpx.TransportError as error:
            raise PassingError(
                f"the connection to {self.url} broke ({error}): it may be done or not; "
                "look, then run it again if it is not"
            ) from None


def _is_here(url: str) -> bool:
    """Whether a server is on this machine: what proxies the environment names are not for it."""
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_broken(text: str) -> bool:
    """Whether it was given as bytes that are no UTF-8."""
    return any("\ud800" <= char <= "\udfff" for char in text)


def _size_of(content: BinaryIO) -> int | None:
    """Bytes of a file from where it is read; None of what is no file, such as a pipe: nobody knows."""
    status = os.fstat(content.fileno())
    return max(0, status.st_size - content.tell()) if stat.S_ISREG(status.st_mode) else None


def _pieces(content: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (piece := content.read(min(_PIECE_BYTES, size))):
        size -= len(piece)
        yield piece
    if size:
        raise ClientError("the file became shorter while it was sent: send it again when it is whole")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that end with a line feed and nothing else: others stand inside of JSON."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _kind_of(status: int) -> type[ClientError]:
    if status == httpx.codes.FORBIDDEN:
        return ForbiddenError
    return PassingError if status in _PASSING else ClientError


def _strange(response: httpx.Response) -> str:
    return f"the server answered {response.status_code}, and not as samesay does: is --url right?"


def _explain(response: httpx.Response) -> str:
    try:
        problem = response.json()
        detail = problem["detail"]
    except (ValueError, KeyError, TypeError):
        return _strange(response)
    if response.status_code == 401:
        return f"{detail} (give --api-key, or set SAMESAY_API_KEY)"
    return f"{detail} (HTTP {response.status_code}, {problem.get('code')})"
