"""In which encoding a text is: what a byte-order mark says, then its sender, then the bytes themselves."""

import codecs
from collections.abc import Iterator, Sequence
from typing import Final

from app.bulk.reading.unpacking import ByteStream
from model.contract.charsets import believed

_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_CHUNK_BYTES: Final = 65_536


class Encoding:
    """The encoding of one text; what ASCII does not settle is decided by the first block that is more than ASCII.

    Attributes:
        name: For people: the encoding believed.
        codec: Python's name of what the lines are to be decoded with: UTF-16 arrives here as UTF-8.
    """

    def __init__(self, codec: str | None) -> None:
        self._settled = codec is not None
        self.name = codec or "utf-8"
        self.codec = "utf-8" if self.name.startswith("utf-16") else self.name

    def see(self, lines: Sequence[bytes]) -> None:
        """Look at the next block of whole lines, before it is decoded."""
        if not self._settled and not all(map(bytes.isascii, lines)):
            self.name = self.codec = believed(lines)
            self._settled = True


def open_text(stream: ByteStream, codec: str | None) -> tuple[ByteStream, Encoding]:
    """A text without its byte-order mark, in an encoding whose line ends are those of ASCII; and which one."""
    start = stream.peek(3)
    for mark, named in _MARKS:
        if start.startswith(mark):
            stream.read(len(mark))
            codec = named
    encoding = Encoding(codec)
    if encoding.name.startswith("utf-16"):
        stream = ByteStream(_to_utf8(stream, encoding.name))
    return stream, encoding


def _to_utf8(stream: ByteStream, codec: str) -> Iterator[bytes]:
    """UTF-16 as UTF-8; what is no UTF-16 becomes what is no UTF-8, so that it is found where it stands."""
    decoder = codecs.getincrementaldecoder(codec)("surrogatepass")
    while data := stream.read(_CHUNK_BYTES):
        yield decoder.decode(data).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"  # half a character at the end
