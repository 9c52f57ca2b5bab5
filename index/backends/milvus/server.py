"""A Milvus server: the calls that the back end makes, each bounded in size and time.

Every collection has the same fields: a record's id, the sequence number of the change that wrote it, its vector. Rows
of negative ids are no records but notes, numbers about the collection in the place of `seq`. They are written into the
same log as the changes that they speak for, and they stay, where a server 2.3.5 forgets the properties of a collection
when it starts again.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from index.backends.milvus.connection import MilvusConnection
from index.backends.milvus.expressions import ANY_RECORD, RECORD_ID, ids_in
from index.backends.milvus.told import Described, Note
from index.errors import IndexServerAwayError, IndexServerRefusedError
from index.types import MISSING_ID, Ids, Vectors

MOST_FOUND: Final = 16_384
"""Milvus finds no more for one query."""

_SEQ, _VECTOR = "seq", "vector"

_WRITE_ROWS: Final = 10_000
_WRITE_FLOATS: Final = 2_000_000
"""Numbers of the vectors in one request or answer (8 MB): Milvus takes 64 MB."""

_FOUND_AT_ONCE: Final = 200_000
"""Neighbours in one answer."""

_QUERIES_AT_ONCE: Final = 1_000

_POLL_S: Final = 0.1

_MISSING_CODES: Final = (100, 1600)
"""No such collection, no such alias."""


class Milvus(MilvusConnection):
    """A server. Safe to use from many threads; connected to when first asked.

    Args:
        address: http://HOST:PORT, or https.
        token: USER:PASSWORD, or an API key; empty where the server asks for none.
        timeout_s: How long one call may take.
        build_timeout_s: How long flushing, building and loading an index may take.

    Raises:
        BackendMissingError: pymilvus is not installed.
    """

    def __init__(
        self, address: str, *, token: str = "", timeout_s: float = 10.0, build_timeout_s: float = 3_600.0
    ) -> None:
        super().__init__(address, token=token, timeout_s=timeout_s)
        self._build_timeout_s = build_timeout_s
        self._holding = threading.Lock()  # guards the next: another thread may be looking through it
        self._held: WeakKeyDictionary[object, str] = WeakKeyDictionary()

    def hold(self, holder: object, name: str) -> None:
        """Know that this collection is in use, for as long as the holder lives."""
        with self._holding:
            self._held[holder] = name

    @property
    def held(self) -> set[str]:
        """The collections that are in use by this connection."""
        with self._holding:
            return set(self._held.values())

    def create(self, name: str, dim: int, description: str) -> None:
        """Create an empty collection, without an index."""
        kinds = self._pymilvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
        schema.add_field(RECORD_ID, kinds.INT64, is_primary=True)
        schema.add_field(_SEQ, kinds.INT64)
        schema.add_field(_VECTOR, kinds.FLOAT_VECTOR, dim=dim)
        with self._asking(f"create collection {name}"):
            self._client.create_collection(name, schema=schema, consistency_level="Bounded", timeout=self._timeout_s)

    def drop(self, name: str) -> None:
        """Remove a collection with all its rows and aliases; one that is not there is none the worse."""
        found = self.find(name)
        with self._asking(f"drop collection {name}"):
            for alias in () if found is None else found.aliases:
                self._client.drop_alias(alias, timeout=self._timeout_s)
            self._client.drop_collection(name, timeout=self._timeout_s)

    def list_names(self, prefix: str) -> list[str]:
        """The names of the collections that begin so."""
        with self._asking("list its collections"):
            names = self._client.list_collections(timeout=self._timeout_s)
        return sorted(name for name in names if name.startswith(prefix))

    def find(self, name: str) -> Described | None:
        """A collection by its name or alias; None where there is none."""
        with self._asking(f"describe collection {name}"):
            try:
                found = self._client.describe_collection(name, timeout=self._timeout_s)
            except self._pymilvus.MilvusException as error:
                if error.code in _MISSING_CODES:
                    return None
                raise
        return Described(found["collection_name"], found["description"], tuple(found["aliases"]))

    def point(self, alias: str, name: str) -> None:
        """Have an alias mean this collection, from one moment to the next."""
        with self._asking(f"point alias {alias} at collection {name}"):
            try:
                self._client.alter_alias(name, alias, timeout=self._timeout_s)
            except self._pymilvus.MilvusException as error:
                if error.code not in _MISSING_CODES:
                    raise
                self._client.create_alias(name, alias, timeout=self._timeout_s)

    def insert(self, name: str, record_ids: Ids, vectors: Vectors, seq: int) -> None:
        """Add rows that are not there yet.

        Args:
            name: The collection.
            record_ids: (n,) int64.
            vectors: (n, dim) float32.
            seq: The change they are written by.
        """
        self._write(self._client.insert, name, record_ids, vectors, np.full(len(record_ids), seq))

    def upsert(self, name: str, record_ids: Ids, vectors: Vectors, seq: int) -> None:
        """Add rows or replace them, each once; arguments as in `insert`."""
        self._write(self._client.upsert, name, record_ids, vectors, np.full(len(record_ids), seq))

    def delete(self, name: str, record_ids: Ids) -> None:
        """Remove rows; absent ones are ignored."""
        for start in range(0, len(record_ids), _WRITE_ROWS):
            part = record_ids[start : start + _WRITE_ROWS].tolist()
            with self._asking(f"delete from collection {name}"):
                self._client.delete(name, ids=part, timeout=self._timeout_s)

    def write_notes(self, name: str, dim: int, notes: Mapping[Note, int]) -> None:
        """Keep numbers with a collection, and wait until searches see them and all that was written before."""
        ids, numbers = np.array(list(notes), np.int64), np.array(list(notes.values()), np.int64)
        self._write(self._client.upsert, name, ids, np.zeros((len(ids), dim), np.float32), numbers)
        found = self.read_notes(name)
        for note, number in notes.items():
            if found.get(note) != number:
                reason = f"it says {found.get(note)}: is another process writing?"
                raise IndexServerRefusedError(self.address, f"note {note.name} {number} in collection {name}", reason)

    def compact(self, name: str) -> None:
        """Have the server write its files anew without what was deleted; it does so in its own time."""
        with self._asking(f"compact collection {name}"):
            self._client.flush(name, timeout=self._build_timeout_s)
            self._client.compact(name, timeout=self._timeout_s)

    def read_notes(self, name: str) -> dict[Note, int]:
        """The numbers that were kept with a collection, which must be loaded."""
        # Strong: answered once the server has taken in everything that was written before.
        rows = self._ask_rows(name, f"{RECORD_ID} < 0", [_SEQ], "Strong")
        return {Note(row[RECORD_ID]): int(row[_SEQ]) for row in rows}

    def count(self, name: str) -> int:
        """Records in the collection."""
        rows = self._ask_rows(name, ANY_RECORD, ["count(*)"], "Bounded")
        return int(rows[0]["count(*)"])

    def search(
        self, name: str, queries: Vectors, limit: int, where: str, parameters: Mapping[str, int]
    ) -> NDArray[np.int64]:
        """Find the nearest rows, best first by the server's own scores.

        Args:
            name: The collection.
            queries: (n, dim) float32.
            limit: Rows for each, at most MOST_FOUND.
            where: An expression; empty for all rows.
            parameters: Of the index kind.

        Returns:
            (n, limit) int64 record ids, MISSING_ID where there are no more, and in place of notes.
        """
        found = np.full((len(queries), limit), MISSING_ID, dtype=np.int64)
        step = max(1, min(_QUERIES_AT_ONCE, _FOUND_AT_ONCE // limit, _WRITE_FLOATS // queries.shape[1]))
        for start in range(0, len(queries), step):
            with self._asking(f"search collection {name}"):
                answer = self._client.search(
                    name,
                    data=queries[start : start + step],
                    limit=limit,
                    filter=where,
                    search_params={"metric_type": "IP", "params": dict(parameters)},
                    consistency_level="Bounded",
                    timeout=self._timeout_s,
                )
            for row, hits in enumerate(answer, start):
                found[row, : len(hits.ids)] = hits.ids
        found[found < 0] = MISSING_ID
        return found

    def vectors_of(self, name: str, record_ids: Ids, dim: int) -> tuple[Ids, Vectors]:
        """Vectors of records.

        Args:
            name: The collection.
            record_ids: (n,) int64, each once.
            dim: Of the collection.

        Returns:
            (m,) int64 ids of those that are there, ascending, and (m, dim) float32.
        """
        rows: list[Mapping[str, Any]] = []
        for part in _parts(len(record_ids), dim):
            rows += self._ask_rows(name, ids_in(record_ids[part]), [_VECTOR], "Bounded")
        ids = np.array([row[RECORD_ID] for row in rows], dtype=np.int64)
        vectors = np.empty((len(rows), dim), dtype=np.float32)
        for number, row in enumerate(rows):
            vectors[number] = row[_VECTOR]
        order = np.argsort(ids)
        return ids[order], vectors[order]

    def build_index(
        self, name: str, kind: str, parameters: Mapping[str, int], *, timeout_s: float | None = None
    ) -> None:
        """Have an index built over all rows that were written, and wait for it; `timeout_s` may cut the wait short."""
        timeout_s = timeout_s or self._build_timeout_s
        wanted = self._client.prepare_index_params()
        wanted.add_index(_VECTOR, index_type=kind, metric_type="IP", params=dict(parameters))
        with self._asking(f"build an index of kind {kind}"):
            self._client.flush(name, timeout=self._build_timeout_s)
            self._client.create_index(name, wanted, timeout=self._timeout_s, sync=False)
        deadline = time.monotonic() + timeout_s
        while not self.is_built(name):
            if time.monotonic() > deadline:
                raise IndexServerAwayError(self.address, f"build an index of kind {kind}", f"not after {timeout_s} s")
            time.sleep(_POLL_S)

    def load(self, name: str) -> None:
        """Have the server take a collection into its memory, and wait for it."""
        with self._asking(f"load collection {name}"):
            self._client.load_collection(name, timeout=self._build_timeout_s)

    def is_built(self, name: str) -> bool:
        """Whether there is an index over the collection."""
        with self._asking(f"describe the index of collection {name}"):
            state = self._client.describe_index(name, _VECTOR, timeout=self._timeout_s)
        if state is None:
            return False
        if state["state"] == "Failed":
            raise IndexServerRefusedError(self.address, f"build the index of collection {name}", "its log says why")
        return bool(state["state"] == "Finished")

    def _write(self, write: Callable[..., Any], name: str, record_ids: Ids, vectors: Vectors, seqs: Ids) -> None:
        for part in _parts(len(record_ids), vectors.shape[1]):
            rows = [
                {RECORD_ID: record_id, _SEQ: seq, _VECTOR: vector}
                for record_id, seq, vector in zip(
                    record_ids[part].tolist(), seqs[part].tolist(), vectors[part], strict=True
                )
            ]
            with self._asking(f"write to collection {name}"):
                write(name, rows, timeout=self._timeout_s)

    def _ask_rows(self, name: str, where: str, fields: Sequence[str], consistency: str) -> list[Mapping[str, Any]]:
        with self._asking(f"read from collection {name}"):
            return list(
                self._client.query(
                    name,
                    filter=where,
                    output_fields=list(fields),
                    consistency_level=consistency,
                    timeout=self._timeout_s,
                )
            )


def _parts(n: int, dim: int) -> Iterator[slice]:
    step = max(1, min(_WRITE_ROWS, _WRITE_FLOATS // dim))
    for start in range(0, n, step):
        yield slice(start, start + step)
