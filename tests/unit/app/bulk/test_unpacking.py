"""gzip and zstd: members in a row, damage, ends that come too early, too late or never."""

import gzip
import io
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from app.bulk.forms import Packing
from app.bulk.reading.rows import Limits, UploadCode, UploadError
from app.bulk.reading.unpacking import unpacked

CONTENT = b"".join(b"line %d of what is packed\n" % number for number in range(20_000))
PACKED = [(Packing.GZIP, gzip.compress), (Packing.ZSTD, zstandard.compress)]
Pack = Callable[[bytes], bytes]


def read_all(data: bytes, packing: Packing, size: int = 10_000, limits: Limits | None = None) -> bytes:
    stream = unpacked(io.BytesIO(data), packing, limits or Limits())
    return b"".join(iter(lambda: stream.read(size), b""))


def refused(data: bytes, packing: Packing, limits: Limits | None = None) -> UploadError:
    with pytest.raises(UploadError) as caught:
        read_all(data, packing, limits=limits)
    return caught.value


@pytest.mark.parametrize(("packing", "pack"), [(Packing.NONE, bytes), *PACKED])
@pytest.mark.parametrize("size", [7919, 2**20])
def test_what_was_packed_comes_back(packing: Packing, pack: Pack, size: int) -> None:
    assert read_all(pack(CONTENT), packing, size) == CONTENT


@pytest.mark.parametrize(("packing", "pack"), PACKED)
def test_members_in_a_row_are_one_stream(packing: Packing, pack: Pack) -> None:
    assert read_all(pack(CONTENT) + pack(b"") + pack(b"and more"), packing) == CONTENT + b"and more"


def test_zstd_frames_without_a_size_and_those_to_be_skipped() -> None:
    streamed = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(CONTENT)
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    assert read_all(streamed + skippable + zstandard.compress(b"end"), Packing.ZSTD) == CONTENT + b"end"


def test_zeros_after_gzip_are_padding() -> None:
    assert read_all(gzip.compress(CONTENT) + b"\0" * 100_000, Packing.GZIP) == CONTENT


def test_peeking_takes_nothing() -> None:
    stream = unpacked(io.BytesIO(gzip.compress(b"abcdef")), Packing.GZIP, Limits())
    assert (stream.peek(4), stream.peek(2), stream.read(3), stream.peek(9), stream.read(9), stream.read(1)) == (
        b"abcd",
        b"ab",
        b"abc",
        b"def",
        b"def",
        b"",
    )


@pytest.mark.parametrize(("packing", "pack"), PACKED)
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_an_end_that_comes_too_early(packing: Packing, pack: Pack, kept: float) -> None:
    data = pack(CONTENT)
    error = refused(data[: int(len(data) * kept)], packing)
    assert error.code == UploadCode.TRUNCATED
    assert f"the {packing} data ends in the middle" in error.detail


@pytest.mark.parametrize(("packing", "pack"), PACKED)
def test_something_else_after_the_end(packing: Packing, pack: Pack) -> None:
    error = refused(pack(CONTENT) + b"garbage, as it happens", packing)
    assert error.code == UploadCode.DAMAGED
    assert f"after the end of the {packing} data" in error.detail


@pytest.mark.parametrize(("packing", "pack"), PACKED)
def test_damage_inside(packing: Packing, pack: Pack) -> None:
    data = bytearray(pack(CONTENT))
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    error = refused(bytes(data), packing)
    assert error.code == UploadCode.DAMAGED
    assert "is damaged" in error.detail


def test_a_wrong_checksum() -> None:
    data = bytearray(gzip.compress(CONTENT))
    data[-8] ^= 1
    assert refused(bytes(data), Packing.GZIP).code == UploadCode.DAMAGED


def gzip_bomb(unpacked_bytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(unpacked_bytes >> 20)) + packer.flush()


def zstd_bomb(unpacked_bytes: int) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(unpacked_bytes >> 20)) + packer.flush()


@pytest.mark.parametrize(("packing", "bomb"), [(Packing.GZIP, gzip_bomb), (Packing.ZSTD, zstd_bomb)])
def test_a_gigabyte_of_zeros_stops_at_the_cap_and_is_never_held(packing: Packing, bomb: Callable[[int], bytes]) -> None:
    data = bomb(2**30)
    assert len(data) < 1_100_000
    stream = unpacked(io.BytesIO(data), packing, Limits(most_unpacked_bytes=2**29))
    total = 0
    tracemalloc.start()
    try:
        with pytest.raises(UploadError, match="unpacks to more than 536,870,912 bytes") as caught:
            while piece := stream.read(2**20):
                total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == UploadCode.TOO_LARGE
    assert 2**29 - 2**25 < total <= 2**29
    # What one read of zstd unpacks to, 8 MiB at the most, is there twice while it is copied.
    assert peak < 30 * 2**20


def test_a_window_larger_than_zstd_gives_by_default_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    error = refused(packer.compress(CONTENT) + packer.flush(), Packing.ZSTD)
    assert error.code == UploadCode.DAMAGED
    assert "memory" in error.detail
