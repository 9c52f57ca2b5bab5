"""An upload is acknowledged once it is on the disk, and so is its name."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.bulk.uploads import receive
from app.errors import StorageError


async def body() -> AsyncIterator[bytes]:
    yield b'{"text": "a"}'


def take(folder: Path) -> bytes:
    return asyncio.run(receive(body(), folder, 4, len))[1].path.read_bytes()


@pytest.mark.parametrize("refused", ["jobs/job/upload", "jobs/job", "jobs"])
def test_an_upload_whose_name_is_not_on_the_disk_is_refused(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, fsync = tmp_path / "jobs", os.fsync
    jobs.mkdir()

    def failing(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), (tmp_path / refused).stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    assert take(jobs / "other") == b'{"text": "a"}'
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match="cannot be written"):
        take(jobs / "job")
    assert [path.name for path in jobs.iterdir()] == ["other"]
