"""A Milvus server of plain dicts in this process: exact, seen at once, and as unreliable as a test wants it."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from index.backends.milvus.server import MOST_FOUND, Milvus
from index.backends.milvus.told import Described, Note
from index.errors import IndexServerAwayError, IndexServerRefusedError
from index.types import MISSING_ID, Ids, Vectors

ADDRESS: Final = "http://milvus.example.org:19530"


@dataclass
class PlainCollection:
    """A collection: its rows by record_id, notes among them, each with the number that it was written with."""

    dim: int
    description: str
    rows: dict[int, tuple[int, NDArray[np.float32]]] = field(default_factory=dict)
    is_built: bool = False
    compactions: int = 0


class PlainMilvus(Milvus):
    """What the back end asks of a server, without one.

    Attributes:
        collections: By name.
        aliases: What each means.
        is_away: Whether it answers nothing.
        writes_left: So many writes are taken, then it is away; None for any number.
        calls: Every call that was answered, by name.
    """

    def __init__(self, address: str = ADDRESS, *, token: str = "", timeout_s: float = 10.0) -> None:
        # not Milvus's own: it asks for pymilvus
        self.address, self.token = address, token
        self._holding, self._held = threading.Lock(), WeakKeyDictionary()
        self.collections: dict[str, PlainCollection] = {}
        self.aliases: dict[str, str] = {}
        self.is_away, self.writes_left = False, None
        self.calls: list[str] = []

    is_away: bool
    writes_left: int | None

    def connect(self, address: str, *, token: str) -> "PlainMilvus":
        """The same server, as another process knows it."""
        self.address, self.token, self._held = address, token, WeakKeyDictionary()
        return self

    def close(self) -> None:
        """See Milvus."""

    def create(self, name: str, dim: int, description: str) -> None:
        """See Milvus."""
        self._called("create")
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name) and name not in self.collections
        self.collections[name] = PlainCollection(dim, description)

    def drop(self, name: str) -> None:
        """See Milvus."""
        self._called("drop")
        self.collections.pop(name, None)
        self.aliases = {alias: meant for alias, meant in self.aliases.items() if meant != name}

    def list_names(self, prefix: str) -> list[str]:
        """See Milvus."""
        self._called("list_names")
        return sorted(name for name in self.collections if name.startswith(prefix))

    def find(self, name: str) -> Described | None:
        """See Milvus."""
        self._called("find")
        name = self.aliases.get(name, name)
        if name not in self.collections:
            return None
        aliases = tuple(alias for alias, meant in self.aliases.items() if meant == name)
        return Described(name, self.collections[name].description, aliases)

    def point(self, alias: str, name: str) -> None:
        """See Milvus."""
        self._called("point")
        self._get(name)
        self.aliases[alias] = name

    def insert(self, name: str, record_ids: Ids, vectors: Vectors, seq: int) -> None:
        """See Milvus."""
        self.upsert(name, record_ids, vectors, seq)

    def upsert(self, name: str, record_ids: Ids, vectors: Vectors, seq: int) -> None:
        """See Milvus; one that dies in the middle has taken some of the rows."""
        for record_id, vector in zip(record_ids.tolist(), vectors, strict=True):
            self._written()
            self._get(name).rows[record_id] = (seq, vector.copy())

    def delete(self, name: str, record_ids: Ids) -> None:
        """See Milvus."""
        for record_id in record_ids.tolist():
            self._written()
            self._get(name).rows.pop(record_id, None)

    def write_notes(self, name: str, dim: int, notes: Mapping[Note, int]) -> None:
        """See Milvus."""
        for note, number in notes.items():
            self.upsert(name, np.array([note]), np.zeros((1, dim), np.float32), number)

    def compact(self, name: str) -> None:
        """See Milvus."""
        self._called("compact")
        self._get(name).compactions += 1

    def read_notes(self, name: str) -> dict[Note, int]:
        """See Milvus."""
        self._called("read_notes")
        return {Note(row): number for row, (number, _) in self._get(name).rows.items() if row < 0}

    def count(self, name: str) -> int:
        """See Milvus."""
        self._called("count")
        return sum(row >= 0 for row in self._get(name).rows)

    def search(
        self, name: str, queries: Vectors, limit: int, where: str, parameters: Mapping[str, int]
    ) -> NDArray[np.int64]:
        """See Milvus."""
        self._called("search")
        assert 0 < limit <= MOST_FOUND
        rows = self._get(name).rows
        ids = np.array([row for row in rows if _fulfils(where, row)], np.int64)
        found = np.full((len(queries), limit), MISSING_ID, np.int64)
        if len(ids):
            scores = queries @ np.array([rows[row][1] for row in ids.tolist()]).T
            best = ids[np.argsort(-scores, axis=1, kind="stable")[:, :limit]]
            found[:, : best.shape[1]] = best
        found[found < 0] = MISSING_ID
        return found

    def vectors_of(self, name: str, record_ids: Ids, dim: int) -> tuple[Ids, Vectors]:
        """See Milvus."""
        self._called("vectors_of")
        rows = self._get(name).rows
        there = [row for row in np.sort(record_ids).tolist() if row in rows]
        vectors = np.array([rows[row][1] for row in there], np.float32).reshape(len(there), dim)
        return np.array(there, np.int64), vectors

    def build_index(
        self, name: str, kind: str, parameters: Mapping[str, int], *, timeout_s: float | None = None
    ) -> None:
        """See Milvus."""
        self._called("build_index")
        self._get(name).is_built = True

    def load(self, name: str) -> None:
        """See Milvus."""
        self._called("load")
        assert self._get(name).is_built

    def is_built(self, name: str) -> bool:
        """See Milvus."""
        self._called("is_built")
        return self._get(name).is_built

    def _get(self, name: str) -> PlainCollection:
        if name not in self.collections:
            raise IndexServerRefusedError(self.address, f"find collection {name}", "there is none")
        return self.collections[name]

    def _written(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise IndexServerAwayError(self.address, "write", "the test wants it so")
            self.writes_left -= 1
        self._called("write")

    def _called(self, name: str) -> None:
        if self.is_away:
            raise IndexServerAwayError(self.address, name, "the test wants it so")
        self.calls.append(name)


def _fulfils(where: str, row: int) -> bool:
    """What Milvus makes of the few forms of expression that the back end uses."""
    if where == "":
        return True
    listed = re.fullmatch(r"record_id in \[([0-9,]*)\]", where)
    if listed:
        return row in _numbers(listed[1])
    form = re.fullmatch(r"record_id >= 0(?: and record_id < (\d+))?(?: and not \(record_id in \[([0-9,]+)\]\))?", where)
    assert form, f"no such expression is known: {where[:100]}"
    return row >= 0 and (form[1] is None or row < int(form[1])) and (form[2] is None or row not in _numbers(form[2]))


_seen: dict[str, set[int]] = {}


def _numbers(text: str) -> set[int]:
    if text not in _seen:
        _seen.clear()
        _seen[text] = {int(number) for number in text.split(",") if number}
    return _seen[text]
