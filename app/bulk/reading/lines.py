"""A text in blocks of whole lines, however long one of them is."""

import io
from collections.abc import Iterator
from typing import Final, NamedTuple

from app.bulk.reading.charsets import Encoding
from app.bulk.reading.rows import Fault, FaultCode
from app.bulk.reading.unpacking import ByteStream

_CHUNK_BYTES: Final = 2**20


class Block(NamedTuple):
    """Some whole lines, with their ends.

    Attributes:
        too_long: The first of them was longer than is taken: only its end is here.
    """

    lines: list[bytes]
    too_long: bool


class Texts(NamedTuple):
    """The lines of a block as text, with their ends, and what is wrong with some of them, by position."""

    lines: list[str]
    faults: dict[int, Fault]


def blocks(stream: ByteStream, *, most_line_bytes: int, also_cr: bool = False) -> Iterator[Block]:
    """A stream's lines, about a megabyte at a time.

    Args:
        stream: In an encoding whose line ends are those of ASCII.
        most_line_bytes: A longer line is dropped while it is read.
        also_cr: Whether a carriage return alone ends a line, as it does in CSV.
    """
    rest = b""
    inside_long = after_long = False  # a line that is dropped; its end is the first thing in `rest`
    while chunk := stream.read(_CHUNK_BYTES):
        if inside_long:
            start = _first_end(chunk, also_cr)
            if start is None:
                continue
            chunk, inside_long, after_long = chunk[start:], False, True
        data = rest + chunk
        cut = _last_end(data, also_cr)
        if cut:
            yield from _blocks(data[:cut], after_long, most_line_bytes, also_cr)
            after_long = False
        rest = data[cut:]
        if _length(rest) > most_line_bytes:
            rest, inside_long = b"", True
    if inside_long:
        yield Block([b"\n"], True)
    elif rest:
        yield from _blocks(rest, after_long, most_line_bytes, also_cr)


def decoded(block: Block, encoding: Encoding, *, most_line_bytes: int) -> Texts:
    """A block's lines as text; those that are none are here too, as far as they go, beside what is wrong with them."""
    faults = {0: too_long(most_line_bytes)} if block.too_long else {}
    clean = True
    try:
        lines = [line.decode(encoding.codec) for line in block.lines]
    except UnicodeDecodeError:
        lines = [line.decode(encoding.codec, "replace") for line in block.lines]
        clean = False
    if not clean or any(b"\0" in line for line in block.lines):
        found = ((position, line_fault(line, encoding)) for position, line in enumerate(block.lines))
        faults.update((position, fault) for position, fault in found if fault is not None)
    return Texts(lines, faults)


def line_fault(line: bytes, encoding: Encoding) -> Fault | None:
    """What keeps a line from being text, if anything."""
    try:
        line.decode(encoding.codec)
    except UnicodeDecodeError as error:
        detail = (
            f"byte {error.start + 1} of the line is not {encoding.name}, the encoding that the file is read in: "
            "save all of it in one encoding, best UTF-8, or say which it is (charset=big5)"
        )
        return Fault(FaultCode.WRONG_ENCODING, detail)
    if b"\0" in line:
        return Fault(FaultCode.NUL_CHARACTER, "the line holds a NUL character: remove it")
    return None


def too_long(most_line_bytes: int) -> Fault:
    """What is wrong with a line that was dropped."""
    return Fault(FaultCode.LINE_TOO_LONG, f"the line is longer than {most_line_bytes:,} bytes, the most that is taken")


def _first_end(data: bytes, also_cr: bool) -> int | None:
    """Where the first line end stands."""
    ends = (data.find(b"\n"), data.find(b"\r") if also_cr else -1)
    return min((end for end in ends if end >= 0), default=None)


def _last_end(data: bytes, also_cr: bool) -> int:
    """Where the last line end stops; a carriage return at the very end may be half of one."""
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1) if also_cr else -1) + 1


def _length(line: bytes) -> int:
    """Bytes of a line without its end, of which there may be half as yet."""
    return len(line.removesuffix(b"\n").removesuffix(b"\r"))


def _blocks(data: bytes, after_long: bool, most_line_bytes: int, also_cr: bool) -> Iterator[Block]:
    """Whole lines in blocks each of which has a long line, if any, at its start."""
    lines = data.splitlines(keepends=True) if also_cr else io.BytesIO(data).readlines()
    if max(map(len, lines)) > most_line_bytes:
        start = 0
        for position, line in enumerate(lines):
            if _length(line) > most_line_bytes:
                if position > start:
                    yield Block(lines[start:position], after_long)
                start, after_long, lines[position] = position, True, b"\n"
        lines = lines[start:]
    yield Block(lines, after_long)
