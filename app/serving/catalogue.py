"""What an answer says of a record, beside the index: from record_id to id, text and group."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """One searchable record as an answer shows it."""

    id: str
    text: str
    group: str | None


class Catalogue:
    """The searchable records of a release.

    One thread changes it; any thread looks up. A look-up of one record sees the old entry or the new one.

    Args:
        entries: By record_id; kept and changed.
    """

    def __init__(self, entries: dict[int, Entry]) -> None:
        self._entries = entries
        self._sizes = Counter(entry.group for entry in entries.values() if entry.group is not None)
        self.find = entries.get
        """The entry of a record_id, or None."""
        self.groups_version = 0
        """Counts up whenever a group appears or disappears."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def record_ids(self) -> Iterable[int]:
        """Every record_id, in no order."""
        return self._entries.keys()

    @property
    def n_groups(self) -> int:
        """How many groups have searchable records."""
        return len(self._sizes)

    @property
    def groups(self) -> Iterable[str]:
        """The groups that have searchable records."""
        return tuple(self._sizes)

    def has_group(self, group: str) -> bool:
        """Whether any searchable record is in the group."""
        return group in self._sizes

    def put(self, entries: Mapping[int, Entry]) -> None:
        """Add entries, or replace them."""
        for record_id, entry in entries.items():
            old = self._entries.get(record_id)
            self._entries[record_id] = entry
            if old is None or old.group != entry.group:
                self._count(entry.group, 1)
                self._count(old.group if old else None, -1)

    def remove(self, record_ids: Iterable[int]) -> None:
        """Remove the entries that are there."""
        for record_id in record_ids:
            old = self._entries.pop(record_id, None)
            self._count(old.group if old else None, -1)

    def _count(self, group: str | None, change: int) -> None:
        if group is None:
            return
        size = self._sizes[group] + change
        if size:
            self.groups_version += self._sizes[group] == 0
            self._sizes[group] = size
        else:
            del self._sizes[group]
            self.groups_version += 1
