"""What a Milvus server tells of a collection: its description, and the notes that were kept with it."""

from dataclasses import dataclass
from enum import IntEnum


class Note(IntEnum):
    """The ids of the notes."""

    APPLIED_SEQ = -1
    """Every change up to it is in the collection; written after them."""
    EFFORT = -2
    RECALL = -3
    """In millionths."""
    KNOWN_SEQ = -4
    """No row shows a later change; written before any that does."""
    TAG = -5
    """What the caller knows that change by."""


@dataclass(frozen=True, slots=True)
class Described:
    """A collection as the server knows it.

    Attributes:
        name: Its own, also where an alias was asked for.
        description: As it was created with.
        aliases: Those that mean it now.
    """

    name: str
    description: str
    aliases: tuple[str, ...]
