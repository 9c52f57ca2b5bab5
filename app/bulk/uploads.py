"""Uploads: bodies of any size to the disk, durable before they are acknowledged."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from app.errors import InvalidValueError, StorageError, StorageFullError
from model.contract.files import NO_ROOM, sync_path

T = TypeVar("T")

UPLOAD: Final = "upload"
"""Name of the file in its job's folder."""

_AT_ONCE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A stored upload.

    Attributes:
        digest: SHA-256 of it, hexadecimal.
    """

    path: Path
    n_bytes: int
    digest: str


async def receive(
    stream: AsyncIterator[bytes], folder: Path, n_sniffed: int, check: Callable[[bytes], T]
) -> tuple[T, Received]:
    """Write a body to `folder`/upload; what goes wrong leaves nothing there.

    Args:
        stream: The body; raises where the caller goes away or sends too much.
        folder: Made here.
        n_sniffed: First bytes that `check` needs, unless there are fewer.
        check: Says what the first bytes are (not None), and raises where they are no upload that we take.

    Returns:
        What `check` says, and the stored upload.

    Raises:
        InvalidValueError: The body is empty.
        StorageFullError: The disk is full.
        StorageError: The disk refuses for another reason.
    """
    try:
        return await _receive(stream, folder, n_sniffed, check)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _translate(error) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def _receive(
    stream: AsyncIterator[bytes], folder: Path, n_sniffed: int, check: Callable[[bytes], T]
) -> tuple[T, Received]:
    digest, n_bytes, buffer = hashlib.sha256(), 0, bytearray()
    found: T | None = None
    path = folder / UPLOAD
    folder.mkdir(parents=True)
    with path.open("wb") as file:
        async for chunk in stream:
            buffer += chunk
            if found is None and len(buffer) >= n_sniffed:
                found = check(bytes(buffer[:n_sniffed]))
            if len(buffer) >= _AT_ONCE:
                part, buffer = bytes(buffer), bytearray()
                n_bytes += len(part)
                await asyncio.to_thread(_append, file, digest, part)
        n_bytes += len(buffer)
        if n_bytes == 0:
            raise InvalidValueError(
                "nothing was uploaded: send a file with rows as the body (curl needs --data-binary @FILE for it)"
            )
        if found is None:
            found = check(bytes(buffer))
        await asyncio.to_thread(_append, file, digest, bytes(buffer))
        await asyncio.to_thread(_flush, file, folder)
    return found, Received(path, n_bytes, digest.hexdigest())


def _append(file: BinaryIO, digest: Any, part: bytes) -> None:
    digest.update(part)
    file.write(part)


def _flush(file: BinaryIO, folder: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    for place in (folder, folder.parent):
        sync_path(place)


def _translate(error: OSError) -> Exception:
    if error.errno in NO_ROOM:
        return StorageFullError("the disk is full: the upload was not kept; free some space, then send it again")
    return StorageError(f"the upload cannot be written ({error.strerror}): look at the data folder's disk and rights")
