"""The searchable records of a release: those of its snapshot, and the changes since. Readers see one moment of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.change_list import ChangeList
from app.serving.catalogue.entry import Entry, group_in
from app.serving.catalogue.sidecar import Sidecar

T = TypeVar("T")


class GroupSizes:
    """How many records each group has now. One thread changes it; any thread asks.

    Args:
        sidecar: Where the counting starts.
        version: Where `version` starts.
    """

    def __init__(self, sidecar: Sidecar | None, version: int = 0) -> None:
        self._sidecar = sidecar
        self._changed: dict[str, int] = {}
        """Sizes of the groups that changed: those of the sidecar cost a search each time."""
        self.n_groups = 0 if sidecar is None else sidecar.n_groups
        """How many groups have searchable records."""
        self.version = version
        """Counts up whenever a group appears or disappears."""

    def has(self, group: str) -> bool:
        """Whether any searchable record is in the group."""
        return self._size(group) > 0

    @property
    def saved(self) -> Iterator[str]:
        """The groups that the counting started with, in order."""
        return iter(()) if self._sidecar is None else self._sidecar.groups

    @property
    def changed(self) -> dict[str, bool]:
        """Those of which records came or went since, and whether any is there now."""
        return {group: size > 0 for group, size in self._changed.copy().items()}

    def __iter__(self) -> Iterator[str]:
        """The groups that have searchable records."""
        changed = self.changed
        there = (group for group, is_there in changed.items() if is_there)
        return chain(there, (group for group in self.saved if group not in changed))

    def count(self, group: str | None, change: int) -> None:
        """Count a record that came (1) or went (-1)."""
        if group is None:
            return
        size = self._size(group)
        self._changed[group] = size + change
        if (size > 0) != (size + change > 0):
            self.n_groups += 1 if size == 0 else -1
            self.version += 1

    def _size(self, group: str) -> int:
        size = self._changed.get(group)
        if size is None:
            size = 0 if self._sidecar is None else self._sidecar.group_size(group)
        return size


@dataclass(frozen=True, slots=True)
class CatalogueView:
    """One moment of a catalogue.

    Attributes:
        sidecar: The entries of the snapshot; None where there is no snapshot.
        groups: Their sizes: always the newest.
        n_changes: Changes since the snapshot that belong to this moment.
    """

    sidecar: Sidecar | None
    groups: GroupSizes
    n_changes: int
    _changes: ChangeList

    def find(self, record_ids: Sequence[int]) -> list[Entry | None]:
        """The entries of some records, None where there is none."""
        return self._read(record_ids, self._changes.get, Sidecar.find)

    def groups_of(self, record_ids: Sequence[int]) -> list[str | None]:
        """The groups of some records, None where there is none; nothing else of the entries is read."""
        return self._read(record_ids, lambda number: _group_of(self._changes.packed(number)), Sidecar.groups_of)

    def changes(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, Entry | None]]:
        """What became of each record in the changes since the snapshot, from number `start` on and before `end`."""
        last = self._changes.last(start, self.n_changes if end is None else end)
        return ((record_id, self._changes.get(number)) for record_id, number in last.items())

    def packed_changes(self, start: int = 0) -> dict[int, bytes | None]:
        """The same up to this moment, as `Entry.pack` gives them."""
        last = self._changes.last(start, self.n_changes)
        return {record_id: self._changes.packed(number) for record_id, number in last.items()}

    def changed_ids(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) and (m,) int64: the records that changed since the snapshot and are there, and those that are gone."""
        changes = self.packed_changes()
        ids = np.fromiter(changes, np.int64, len(changes))
        gone = np.fromiter((packed is None for packed in changes.values()), np.bool_, len(changes))
        return ids[~gone], ids[gone]

    def _read(
        self,
        record_ids: Sequence[int],
        of_change: Callable[[int], T | None],
        of_rows: Callable[[Sidecar, NDArray[np.int64]], list[T | None]],
    ) -> list[T | None]:
        """What each record has in the change that made it, or in the snapshot."""
        found: list[T | None] = [None] * len(record_ids)
        elsewhere = []
        for position, record_id in enumerate(record_ids):
            number = self._changes.find(record_id, self.n_changes)
            if number is None:
                elsewhere.append(position)
            else:
                found[position] = of_change(number)
        if elsewhere and self.sidecar is not None:
            wanted = np.array([record_ids[position] for position in elsewhere], np.int64)
            for position, value in zip(elsewhere, of_rows(self.sidecar, wanted), strict=True):
                found[position] = value
        return found


class Catalogue:
    """Takes changes and hands out views. One thread changes it.

    Args:
        sidecar: The entries of the snapshot that is served; None where there is none.
        groups_version: Where the version of the groups starts.
    """

    def __init__(self, sidecar: Sidecar | None, groups_version: int = 0) -> None:
        self._changes = ChangeList()  # it grows past what any view shows
        self._groups = GroupSizes(sidecar, groups_version)
        self.view = CatalogueView(sidecar, self._groups, 0, self._changes)
        """The newest moment."""

    def apply(self, entries: Mapping[int, Entry], gone: Iterable[int]) -> CatalogueView:
        """Add or replace entries, and remove others.

        Returns:
            The moment after it.
        """
        return self._apply({record_id: entry.pack() for record_id, entry in entries.items()} | dict.fromkeys(gone))

    def _apply(self, changes: Mapping[int, bytes | None]) -> CatalogueView:
        before = self.view.groups_of(list(changes))
        for (record_id, packed), old in zip(changes.items(), before, strict=True):
            self._changes.append(record_id, packed)
            group = _group_of(packed)
            if old != group:
                self._groups.count(group, 1)
                self._groups.count(old, -1)
        view = self.view
        self.view = CatalogueView(view.sidecar, self._groups, len(self._changes), self._changes)
        return self.view

    def rebased(self, sidecar: Sidecar | None, built_from: CatalogueView) -> "Catalogue":
        """A catalogue over another snapshot, with the changes that came since.

        Args:
            sidecar: Holds the entries of `built_from`, and nothing else.
            built_from: An earlier moment of this catalogue.
        """
        new = Catalogue(sidecar, self._groups.version + 1)
        new._apply(self.view.packed_changes(built_from.n_changes))
        return new


def _group_of(packed: bytes | None) -> str | None:
    return None if packed is None else group_in(packed)
