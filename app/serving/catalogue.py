"""The searchable records of a release: those of its snapshot, and the changes since. Readers see one moment of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from app.serving.entry import Entry
from app.serving.sidecar import Sidecar


class _Change(NamedTuple):
    """What a record became, None where it was removed; with what it was before, for readers of earlier moments."""

    number: int
    entry: Entry | None
    before: "_Change | None"


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

    def __iter__(self) -> Iterator[str]:
        """The groups that have searchable records."""
        of_sidecar = iter(()) if self._sidecar is None else self._sidecar.groups
        changed = set(self._changed)
        return (group for group in chain(changed, (g for g in of_sidecar if g not in changed)) if self.has(group))

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
    _changed: Mapping[int, _Change]
    _log: Sequence[tuple[int, Entry | None]]

    def find(self, record_ids: Sequence[int]) -> list[Entry | None]:
        """The entries of some records, None where there is none."""
        found: list[Entry | None] = [None] * len(record_ids)
        elsewhere = []
        for position, record_id in enumerate(record_ids):
            change = self._changed.get(record_id)
            while change is not None and change.number >= self.n_changes:
                change = change.before
            if change is not None:
                found[position] = change.entry
            else:
                elsewhere.append(position)
        if elsewhere and self.sidecar is not None:
            wanted = np.array([record_ids[position] for position in elsewhere], np.int64)
            for position, entry in zip(elsewhere, self.sidecar.find(wanted), strict=True):
                found[position] = entry
        return found

    def changes(self, start: int = 0) -> Sequence[tuple[int, Entry | None]]:
        """Each change since the snapshot, from number `start` on: a record_id with what it became."""
        return self._log[start : self.n_changes]


class Catalogue:
    """Takes changes and hands out views. One thread changes it.

    Args:
        sidecar: The entries of the snapshot that is served; None where there is none.
        groups_version: Where the version of the groups starts.
    """

    def __init__(self, sidecar: Sidecar | None, groups_version: int = 0) -> None:
        # both only grow, past what any view shows
        self._changed: dict[int, _Change] = {}
        self._log: list[tuple[int, Entry | None]] = []
        self._groups = GroupSizes(sidecar, groups_version)
        self.view = CatalogueView(sidecar, self._groups, 0, self._changed, self._log)
        """The newest moment."""

    def apply(self, entries: Mapping[int, Entry], gone: Iterable[int]) -> CatalogueView:
        """Add or replace entries, and remove others.

        Returns:
            The moment after it.
        """
        changes: list[tuple[int, Entry | None]] = [*entries.items(), *((record_id, None) for record_id in gone)]
        before = self.view.find([record_id for record_id, _ in changes])
        for (record_id, entry), old in zip(changes, before, strict=True):
            self._changed[record_id] = _Change(len(self._log), entry, self._changed.get(record_id))
            self._log.append((record_id, entry))
            if _group_of(old) != _group_of(entry):
                self._groups.count(_group_of(entry), 1)
                self._groups.count(_group_of(old), -1)
        view = self.view
        self.view = CatalogueView(view.sidecar, self._groups, len(self._log), self._changed, self._log)
        return self.view

    def rebased(self, sidecar: Sidecar | None, built_from: CatalogueView) -> "Catalogue":
        """A catalogue over another snapshot, with the changes that came since.

        Args:
            sidecar: Holds the entries of `built_from`, and nothing else.
            built_from: An earlier moment of this catalogue.
        """
        new = Catalogue(sidecar, self._groups.version + 1)
        changes = self.view.changes(built_from.n_changes)
        last = dict(changes)
        new.apply(
            {record_id: entry for record_id, entry in last.items() if entry is not None},
            [record_id for record_id, entry in last.items() if entry is None],
        )
        return new


def _group_of(entry: Entry | None) -> str | None:
    return None if entry is None else entry.group
