"""Building a snapshot from a spool: `python -m app.serving.snapshots.building SPOOL`, which yields to the server.

It ends when its standard input does: a server that is killed leaves no builder behind.
"""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from app.priority import let_others_go_first
from app.serving.catalogue.sidecar import write_sidecar
from app.serving.snapshots.base import Base, BuildError, StaleReleaseError, empty_base, load_base
from app.serving.snapshots.building_remote import build_on_server, writing_alone
from app.serving.snapshots.merging import Merged
from app.serving.snapshots.spool import MERGED, BuildOrder, SpooledRows
from index.backends.milvus.base import MilvusBase
from index.backends.milvus.server import Milvus
from index.backends.rows import FrozenIndex
from index.errors import SnapshotDamagedError, SnapshotTakenError, VectorIndexError
from index.factory import build
from index.snapshot import Snapshot, save_snapshot, snapshot_folder
from index.spec import IndexKind, choose_spec
from model.contract.tied import end_with_parent

TOKEN_VARIABLE: Final = "SAMESAY_INDEX_SERVER_TOKEN"
"""Where the token of the index server is handed over: no file has it."""

STALE: Final = 3
"""The exit status that stands for a StaleReleaseError."""

_NICENESS: Final = 10
"""On one processor kept busy by searches it gets a tenth: with 19, an index of 100,000 took three minutes."""


_CALL_S: Final = 60.0
_BUILD_S: Final = 24 * 3_600.0
"""How long an index server may take for one call, and for building an index: here nobody waits for an answer."""


def build_snapshot(spool: Path, server: Milvus | None = None) -> Path:
    """Build the snapshot that a spool orders.

    Args:
        spool: Its folder.
        server: The index server, if there is one.

    Returns:
        The snapshot's folder.

    Raises:
        OSError: The disk refused.
        StaleReleaseError: The base is damaged or another now, or there is a snapshot that is as new, or newer.
        VectorIndexError: The base cannot be read, or the rows are wrong.
    """
    spooled = SpooledRows(spool)
    order = spooled.order
    # from the look at what the base's collection has to the saved snapshot, which belongs to what it has then
    with writing_alone(order) if order.server is not None and order.base is not None else nullcontext():
        base = _base_of(order, server)
        merged = Merged(spooled, base)
        snapshot = _snapshot_of(_index_of(spooled, merged, base.index, server), order)
        folder = snapshot_folder(Path(order.snapshots), order.applied_seq)
        try:
            save_snapshot(
                folder,
                snapshot,
                lambda draft: write_sidecar(draft, merged.entries(), merged.postings()),
                vectors=spool / MERGED,
            )
        except SnapshotTakenError as error:
            raise StaleReleaseError(str(error)) from None
    return folder


def _base_of(order: BuildOrder, server: Milvus | None) -> Base:
    if order.base is None:
        return empty_base(order.dim)
    try:
        base = load_base(Path(order.base), encoder_checksum=order.encoder_checksum, dim=order.dim, server=server)
    except SnapshotDamagedError as error:
        raise StaleReleaseError(str(error)) from None
    if base.rows != order.base_rows:
        raise StaleReleaseError(f"snapshot {order.base} has other rows than those that the changes were made to")
    return base


def _index_of(spooled: SpooledRows, merged: Merged, base: FrozenIndex, server: Milvus | None) -> FrozenIndex:
    order, n = spooled.order, len(merged.record_ids)
    spec = choose_spec(n, order.dim, order.target_recall)
    if spec.kind is not IndexKind.EXACT and order.server is not None and server is not None:
        return build_on_server(server, order, order.server, spooled, merged, base)
    vectors = merged.save_vectors(spooled.folder / MERGED)
    return build(merged.record_ids, vectors, spec, trained_from=base, in_haste=order.in_haste)


def _snapshot_of(index: FrozenIndex, order: BuildOrder) -> Snapshot:
    known_seq, tag = order.known_seq, order.tag
    if isinstance(index, MilvusBase):
        known_seq, tag = index.index.facts.known_seq, index.index.facts.tag
    return Snapshot(
        index=index,
        encoder_checksum=order.encoder_checksum,
        applied_seq=order.applied_seq,
        known_seq=known_seq,
        tag=tag,
    )


def main() -> None:
    """Build what the argument names, and print the snapshot's folder."""
    let_others_go_first(_NICENESS)
    end_with_parent()
    spool = Path(sys.argv[1])
    try:
        print(build_snapshot(spool, _connect(SpooledRows(spool).order)))
    except StaleReleaseError as error:
        print(error, file=sys.stderr)
        sys.exit(STALE)
    except (OSError, BuildError, VectorIndexError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def _connect(order: BuildOrder) -> Milvus | None:
    if order.server is None:
        return None
    token = os.environ.get(TOKEN_VARIABLE, "")
    return Milvus(order.server.address, token=token, timeout_s=_CALL_S, build_timeout_s=_BUILD_S)


if __name__ == "__main__":
    main()
