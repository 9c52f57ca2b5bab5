"""The file of a backup: a tar whose last member is the manifest; there whole or not at all, verified as it is read."""

import fcntl
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Protocol, Self

import xxhash

from app.backup.manifest import MANIFEST, Contents, Manifest, MemberEntry, read_manifest
from app.errors import BackupDamagedError, BackupError
from model.contract.files import sync_path

_CHUNK: Final = 1 << 20


class Digest(Protocol):
    """A running checksum, as of hashlib or xxhash."""

    def update(self, content: bytes, /) -> object: ...


class ArchiveWriter:
    """Writes a backup as FILE.part, which becomes FILE in `finish`. Use as a context manager.

    Args:
        path: FILE; one that is there is replaced in `finish`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve() if path.is_symlink() else path  # what a link names is meant, not the link
        self.size_bytes = 0
        self._part = self.path.with_name(self.path.name + ".part")
        self._members: list[MemberEntry] = []

    def __enter__(self) -> Self:
        """Begin; what a killed backup left is written over.

        Raises:
            BackupError: Another process is writing it.
        """
        self._file = _open_alone(self._part)
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._file.closed:
            self._part.unlink(missing_ok=True)  # before it is closed: until then the lock says that it is ours
            with suppress(OSError):  # the disk is full, which was said
                self._file.close()

    def add(self, name: str, content: bytes) -> None:
        """Add a member."""
        self.add_stream(name, io.BytesIO(content), len(content))

    def add_stream(self, name: str, stream: IO[bytes], size_bytes: int, also: Digest | None = None) -> None:
        """Add a member from a stream that has so many bytes; another checksum may run along."""
        digest = xxhash.xxh3_128()
        member = tarfile.TarInfo(name)
        member.size, member.mode = size_bytes, 0o600
        with _named(self._part):
            self._tar.addfile(member, _Watched(stream, [digest] if also is None else [digest, also]))
        self._members.append(MemberEntry(name=name, size_bytes=size_bytes, xxh3_128=digest.hexdigest()))

    def finish(self, contents: Contents) -> None:
        """Write the manifest, make all of it durable, and give it its name."""
        manifest = Manifest(contents=contents, members=self._members)
        self.add(MANIFEST, manifest.to_bytes())
        with _named(self._part):
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self.size_bytes = self._file.tell()
            self._part.rename(self.path)
            self._file.close()
            sync_path(self.path.parent)


class ArchiveReader:
    """Reads a backup; nothing of it is handed out unverified. Use as a context manager.

    Args:
        path: The file.

    Raises:
        BackupError: It is cut off, was altered, or is no backup; or there is none.
        BackupVersionError: It was written in a newer format.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise BackupError(
                f"{path} cannot be read ({error.strerror}): give a file that `samesay backup` wrote"
            ) from None
        try:
            self._tar, self._found = self._list()
            manifest = self._read_manifest()
            self.contents = manifest.contents
            self._members = {member.name: member for member in manifest.members}
            self._compare(manifest)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        return os.fstat(self._file.fileno()).st_size

    def read(self, name: str) -> bytes:
        """A member, whole.

        Raises:
            BackupDamagedError: It is not as it was written.
        """
        return b"".join(self._stream(name))

    def copy(self, name: str, target: Path) -> None:
        """Write a member to a file, which must not be believed where this raises.

        Raises:
            BackupDamagedError: It is not as it was written.
        """
        with _named(target), target.open("wb") as file:
            for chunk in self._stream(name):
                file.write(chunk)

    def _list(self) -> tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]:
        try:
            tar = tarfile.TarFile(fileobj=self._file)
        except tarfile.TarError as error:
            raise self._foreign() from error
        try:
            return tar, {member.name: member for member in tar.getmembers() if member.isreg()}
        except tarfile.TarError as error:
            raise self._cut_off() from error

    def _read_manifest(self) -> Manifest:
        found = self._found.get(MANIFEST)
        if found is None:
            ours = any(name.startswith(("tables/", "encoders/")) for name in self._found)
            raise self._cut_off() if ours else self._foreign()
        stream = self._tar.extractfile(found)
        assert stream is not None
        return read_manifest(str(self.path), stream.read())

    def _compare(self, manifest: Manifest) -> None:
        expected = {member.name: member.size_bytes for member in manifest.members}
        found = {name: member.size for name, member in self._found.items() if name != MANIFEST}
        for name in expected.keys() | found.keys():
            if expected.get(name) != found.get(name):
                raise self._damaged(name)

    def _stream(self, name: str) -> Iterator[bytes]:
        if name not in self._members:
            raise self._damaged(name)
        digest, expected = xxhash.xxh3_128(), self._members[name]
        stream = self._tar.extractfile(self._found[name])
        assert stream is not None
        try:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                yield chunk
        except tarfile.TarError as error:
            raise self._damaged(name) from error
        if digest.hexdigest() != expected.xxh3_128:
            raise self._damaged(name)

    def _damaged(self, name: str) -> BackupDamagedError:
        return BackupDamagedError(
            f"{self.path} is damaged: {name} is not as it was written; copy the file again, or take another backup"
        )

    def _cut_off(self) -> BackupDamagedError:
        return BackupDamagedError(
            f"{self.path} is cut off or damaged: it does not end with {MANIFEST}; "
            "copy the file again, or take another backup"
        )

    def _foreign(self) -> BackupDamagedError:
        return BackupDamagedError(
            f"{self.path} is no backup, or its start is damaged: give a file that `samesay backup` wrote"
        )


class _Watched:
    """A stream whose bytes go through some checksums as they are read."""

    def __init__(self, stream: IO[bytes], digests: list[Digest]) -> None:
        self._stream = stream
        self._digests = digests

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        for digest in self._digests:
            digest.update(chunk)
        return chunk


def _open_alone(part: Path) -> IO[bytes]:
    """An empty file that no other process writes: a lock says so, which dies with its process."""
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)  # it holds every sentence, and keys
    except (FileNotFoundError, NotADirectoryError):
        raise BackupError(f"{part.parent} is no folder: make it, or give another file") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not part.exists() or not os.path.samestat(os.fstat(descriptor), part.stat()):
            raise BlockingIOError  # it was finished between the two lines above
        os.ftruncate(descriptor, 0)
    except BlockingIOError:
        os.close(descriptor)
        raise BackupError(f"another process is writing {part}: wait for it, or give another file") from None
    return os.fdopen(descriptor, "wb")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error of the disk say which file it was."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
