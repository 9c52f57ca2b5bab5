"""What is known of one searchable record beside its vector."""

import struct
from itertools import accumulate
from typing import Any, Final, NamedTuple, Self

import orjson

NO_METADATA: Final = b"{}"

_LENGTHS: Final = struct.Struct("<IIII")

HEAD: Final = _LENGTHS.size
"""Bytes before the fields of a packed entry: their lengths, each a little-endian uint32."""


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
        """All of it as bytes: the lengths of id, text, group and metadata, then these.

        They are as long as their memory. A JSON writer's are cut from a larger block, whose rest was lost to others.
        """
        key, text, group = self.id.encode(), self.text.encode(), (self.group or "").encode()
        metadata = b"" if self.metadata == NO_METADATA else self.metadata
        lengths = _LENGTHS.pack(len(key), len(text), len(group), len(metadata))
        return b"".join((lengths, key, text, group, metadata))

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """What `pack` made bytes of."""
        start, text, group, metadata, _ = accumulate(_LENGTHS.unpack_from(packed), initial=HEAD)
        return cls(
            packed[start:text].decode(),
            packed[text:group].decode(),
            packed[group:metadata].decode() or None,
            packed[metadata:] or NO_METADATA,
        )


def group_in(packed: bytes) -> str | None:
    """The group of an entry that is packed."""
    key, text, group, _ = _LENGTHS.unpack_from(packed)
    start = HEAD + key + text
    return packed[start : start + group].decode() or None
