"""What is known of one searchable record beside its vector."""

from typing import Any, Final, NamedTuple

import orjson

NO_METADATA: Final = b"{}"


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
