"""Rows on their way from the server to the process that builds the next snapshot: a folder of plain files."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.entry_file import EntryFile, EntryWriter, Packed
from index.drafts import drafting, remove_dead_drafts
from index.milvus_kinds import MilvusKind

ORDER: Final = "order.json"
MERGED: Final = "merged.npy"
"""The vectors of the next snapshot, base and spool together, while it is built."""

_IDS, _VECTORS, _LIVE, _GONE = "ids.bin", "vectors.bin", "live.npy", "gone.npy"

_NO_IDS: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOrder:
    """What to build on an index server.

    Attributes:
        address: Of the server.
        kind: Of the index.
        collection: What to call a new collection there.
    """

    address: str
    kind: MilvusKind
    collection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """What to build.

    Attributes:
        snapshots: The folder to put the snapshot into.
        encoder_checksum: Of the encoder that made the vectors.
        dim: Numbers of a vector.
        applied_seq: The change up to which the rows are complete.
        known_seq: The newest change that any row may show.
        tag: What the change log knows that one by.
        target_recall: index_recall@10 to tune for.
        base: Snapshot whose live rows are taken over; None for none.
        base_rows: Which rows it has: see `Base.rows`. What is live says nothing of any others.
        server: Where a large index goes; None where all are kept here.
        in_haste: Learn nothing that need not be learned: the next order comes within a minute.
    """

    snapshots: str
    encoder_checksum: str
    dim: int
    applied_seq: int
    known_seq: int
    tag: int
    target_recall: float
    base: str | None = None
    base_rows: str = ""
    server: ServerOrder | None = None
    in_haste: bool = False

    @classmethod
    def parse(cls, text: str) -> "BuildOrder":
        """Read what `json.dumps(asdict(...))` has written."""
        fields = json.loads(text)
        server = fields.pop("server")
        if server is not None:
            server = ServerOrder(**{**server, "kind": MilvusKind(server["kind"])})
        return cls(**fields, server=server)


class Spool:
    """A folder of rows, written by one process and read by another. Nothing here outlives a crash, nor need it.

    Args:
        folder: A folder of its own.
        lock: What it is held by; the process that reads it holds it too.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder, self.lock = folder, lock
        self._entries = EntryWriter(folder)

    def append(self, record_ids: NDArray[np.int64], vectors: NDArray[np.float32], packed: Sequence[bytes]) -> None:
        """Add rows.

        Args:
            record_ids: (n,) int64.
            vectors: (n, dim) float32.
            packed: n entries, as `Entry.pack` gives them.
        """
        for name, values in ((_IDS, record_ids), (_VECTORS, vectors)):
            with (self.folder / name).open("ab") as file:
                file.write(np.ascontiguousarray(values).data)
        self._entries.append(Packed.of(packed))

    def finish(
        self,
        order: BuildOrder,
        base_live: NDArray[np.bool_] | None = None,
        gone_ids: NDArray[np.int64] = _NO_IDS,
    ) -> None:
        """Make it whole.

        Args:
            order: What to build of them.
            base_live: (n,) bool, the rows of the order's base to take over; None takes all.
            gone_ids: (m,) int64 records that were removed since that base, whether it has them or not.
        """
        self._entries.finish()
        if base_live is not None:
            np.save(self.folder / _LIVE, base_live)
        np.save(self.folder / _GONE, gone_ids)
        (self.folder / ORDER).write_text(json.dumps(asdict(order)))

    def close(self) -> None:
        """Let go of its files, whole or not."""
        self._entries.close()


class SpooledRows:
    """The rows of a finished spool."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.order = folder, BuildOrder.parse((folder / ORDER).read_text())
        self.record_ids = _read(folder / _IDS, np.int64)
        self.vectors = _read(folder / _VECTORS, np.float32).reshape(-1, self.order.dim)
        self.entries = EntryFile(folder)
        live = folder / _LIVE
        self.base_live: NDArray[np.bool_] | None = np.load(live) if live.exists() else None
        self.gone_ids: NDArray[np.int64] = np.load(folder / _GONE)


@contextmanager
def spooling(snapshots: Path) -> Iterator[Spool]:
    """A spool beside the snapshots, as a draft; what died there before goes, since the disk may be full of it."""
    remove_dead_drafts(snapshots)
    with drafting(snapshots, "spool") as draft:
        spool = Spool(draft.folder, draft.lock)
        try:
            yield spool
        finally:
            spool.close()


def _read(path: Path, dtype: Any) -> NDArray[Any]:
    if not path.exists() or not path.stat().st_size:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))
