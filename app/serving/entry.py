"""What is known of one searchable record beside its vector."""

import struct
from itertools import accumulate
from typing import Any, Final, NamedTuple, Self

import orjson

NO_METADATA: Final = b"{}"

_LENGTHS: Final = struct.Struct("<III")


class Entry(NamedTuple):
    """One searchable record.

    Attributes:
        id: The client's.
        text: As stored.
        group: The group's key.
        metadata: A JSON object.
    """

    id: str
    text: str
    group: str | None
    metadata: bytes = NO_METADATA

    def read_metadata(self) -> dict[str, Any]:
        """The metadata as a dict."""
        found: dict[str, Any] = {} if self.metadata == NO_METADATA else orjson.loads(self.metadata)
        return found

    def pack(self) -> bytes:
        """All of it as bytes: the lengths of id, text and group, then these and the metadata.

        They are as long as their memory. A JSON writer's are cut from a larger block, whose rest was lost to others.
        """
        key, text, group = self.id.encode(), self.text.encode(), (self.group or "").encode()
        lengths = _LENGTHS.pack(len(key), len(text), len(group))
        return b"".join((lengths, key, text, group, b"" if self.metadata == NO_METADATA else self.metadata))

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """What `pack` made bytes of."""
        start, text, group, metadata = accumulate(_LENGTHS.unpack_from(packed), initial=_LENGTHS.size)
        return cls(
            packed[start:text].decode(),
            packed[text:group].decode(),
            packed[group:metadata].decode() or None,
            packed[metadata:] or NO_METADATA,
        )
