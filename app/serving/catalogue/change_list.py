"""The changes since a snapshot, packed: objects that the garbage collector need not look through."""

from array import array
from typing import Final

from app.serving.catalogue.entry import Entry

_NONE: Final = -1


class ChangeList:
    """Records with what they became, in the order of the changes, which have numbers from 0 on.

    It only grows: one thread appends, and any thread reads what was there when it began. A hundred thousand changes as
    objects had the collector go through all of them again and again, a tenth of a second each time in which nothing
    was answered. Bytes and numbers are none of its business.
    """

    def __init__(self) -> None:
        self._record_ids = array("q")
        self._entries: list[bytes | None] = []
        self._before = array("q")  # the same record's change before
        self._newest: dict[int, int] = {}  # by record_id; last of all, so that what it names is there

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, record_id: int, packed: bytes | None) -> None:
        """Add what a record became, None where it was removed."""
        number = len(self._entries)
        self._record_ids.append(record_id)
        self._before.append(self._newest.get(record_id, _NONE))
        self._entries.append(packed)
        self._newest[record_id] = number

    def find(self, record_id: int, n: int) -> int | None:
        """The number of a record's last change among the first n; None where it has none there."""
        number = self._newest.get(record_id, _NONE)
        while number >= n:
            number = self._before[number]
        return None if number == _NONE else number

    def get(self, number: int) -> Entry | None:
        """What the record of a change became."""
        packed = self._entries[number]
        return None if packed is None else Entry.unpack(packed)

    def packed(self, number: int) -> bytes | None:
        """The same, as it was appended."""
        return self._entries[number]

    def last(self, start: int, end: int) -> dict[int, int]:
        """The number of the last change of each record that changed from number `start` on and before `end`."""
        return dict(zip(self._record_ids[start:end], range(start, end), strict=True))
