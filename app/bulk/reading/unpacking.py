"""A packed upload as a stream of bytes: a little of it in memory at a time, and never more than a cap in all."""

import zlib
from collections.abc import Callable, Iterator
from typing import IO, Final, Protocol, TypeVar

from app.bulk.forms import Packing
from app.bulk.reading.rows import Limits, UploadCode, UploadError

_READ_BYTES: Final = 65_536
_ZSTD_READ_BYTES: Final = 256
"""Four bytes of zstd can unpack to 128 KiB: what so many unpack to, 8 MiB at the most, is held in memory."""
_ZSTD_WINDOW_BYTES: Final = 2**27
"""What `zstd --ultra` and `--long` ask for; the same as zstd's own default."""


class ByteStream:
    """Bytes in order, unpacked."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = bytearray()

    def read(self, size: int) -> bytes:
        """The next bytes: exactly so many, fewer only at the end."""
        self._fill(size)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def peek(self, size: int) -> bytes:
        """What `read` would return, left where it is."""
        self._fill(size)
        return bytes(self._buffer[:size])

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            piece = next(self._pieces, None)
            if piece is None:
                return
            self._buffer += piece


def unpacked(file: IO[bytes], packing: Packing, limits: Limits) -> ByteStream:
    """An upload's bytes, unpacked; reading them raises UploadError where they are damaged, cut off or too many."""
    if packing is Packing.NONE:
        return ByteStream(_pieces(file, _READ_BYTES))
    unpack = _gunzip if packing is Packing.GZIP else _unzstd
    return ByteStream(_capped(unpack(file), limits.most_unpacked_bytes))


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    while piece := file.read(size):
        yield piece


def _capped(pieces: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > most_bytes:
            detail = f"the file unpacks to more than {most_bytes:,} bytes, the most that is taken: split it"
            raise UploadError(UploadCode.TOO_LARGE, detail)
        yield piece


class _Member(Protocol):
    """One gzip member or zstd frame being unpacked."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


M = TypeVar("M", bound=_Member)


def _gunzip(file: IO[bytes]) -> Iterator[bytes]:
    def unpack(member: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
        while not member.eof and (piece := member.decompress(data, _READ_BYTES)):
            yield piece
            data = member.unconsumed_tail

    blocks = _pieces(file, _READ_BYTES)
    # Some tools fill the last block up with zeros.
    return _members(blocks, Packing.GZIP, lambda: zlib.decompressobj(31), unpack, zlib.error, padding=b"\0")


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)

    def unpack(member: "zstandard.ZstdDecompressionObj", data: bytes) -> Iterator[bytes]:
        yield member.decompress(data)

    blocks = _pieces(file, _ZSTD_READ_BYTES)
    return _members(blocks, Packing.ZSTD, unpacker.decompressobj, unpack, zstandard.ZstdError, padding=b"")


def _members(
    blocks: Iterator[bytes],
    packing: Packing,
    start: Callable[[], M],
    unpack: Callable[[M, bytes], Iterator[bytes]],
    error_type: type[Exception],
    *,
    padding: bytes,
) -> Iterator[bytes]:
    """What the members of a file unpack to, one after the other."""
    member: M | None = None
    whole, begun = 0, False  # members read to their end; whether the one being read has unpacked to anything
    for block in blocks:
        data = block
        while data:
            if member is None:
                data = data.lstrip(padding) if whole else data
                if not data:
                    break
                member, begun = start(), False
            try:
                for piece in unpack(member, data):
                    begun = begun or bool(piece)
                    yield piece
            except error_type as error:
                raise _damaged(packing, error, after_the_end=whole > 0 and not begun) from None
            if not member.eof:
                break
            whole, data, member = whole + 1, member.unused_data, None
    if member is not None:
        detail = f"the {packing} data ends in the middle, as when an upload or a copy broke off: send the file again"
        raise UploadError(UploadCode.TRUNCATED, detail)


def _damaged(packing: Packing, error: Exception, *, after_the_end: bool) -> UploadError:
    if after_the_end:
        detail = f"after the end of the {packing} data stands something else: pack the file again"
    else:
        detail = f"the {packing} data is damaged ({error}): pack the file again"
    return UploadError(UploadCode.DAMAGED, detail)
