"""The vectors of a snapshot on an index server: the changes written into the base's collection, or a new one built."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from app.serving.snapshots.base import StaleReleaseError
from app.serving.snapshots.merging import Merged
from app.serving.snapshots.spool import MERGED, BuildOrder, ServerOrder, SpooledRows
from index.backends.milvus.base import MilvusBase
from index.backends.milvus.releases import build_collection
from index.backends.milvus.server import Milvus
from index.backends.rows import FrozenIndex, Rows
from index.errors import IndexServerError
from index.milvus_kinds import MilvusSpec
from index.snapshot import latest_snapshot

_LOCK: Final = "writing.lock"


def build_on_server(
    server: Milvus, order: BuildOrder, wanted: ServerOrder, spooled: SpooledRows, merged: Merged, base: FrozenIndex
) -> MilvusBase:
    """Put the merged rows on the server.

    Args:
        server: It.
        order: What to build.
        wanted: What of it concerns the server.
        spooled: The rows that are not in the base as they are now.
        merged: All rows.
        base: What they were merged with.

    Raises:
        IndexServerError: The server is away, or refuses. What is left there is of no harm.
    """
    spec = MilvusSpec(kind=wanted.kind, target_recall=order.target_recall)
    if isinstance(base, MilvusBase) and base.carries(len(merged.record_ids), spec):
        return base.renew(
            merged.record_ids,
            Rows(spooled.record_ids, spooled.vectors),
            spooled.gone_ids,
            applied_seq=order.applied_seq,
            known_seq=order.known_seq,
            tag=order.tag,
        )
    return _build_anew(server, order, wanted, spec, merged, spooled.folder)


@contextmanager
def writing_alone(order: BuildOrder) -> Iterator[None]:
    """Be the only one that writes to the collection of the order's base, and write nothing that is outdated already.

    Two that wrote at the same time, or one after another that had seen more, would leave vectors of before.

    Raises:
        StaleReleaseError: There is a snapshot of later changes.
    """
    snapshots = Path(order.snapshots)
    with (snapshots.parent / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # goes with the process
        newest = latest_snapshot(snapshots)
        if newest is not None and int(newest.name) > order.applied_seq:
            raise StaleReleaseError(
                f"there is a snapshot of change {int(newest.name)} already, this one would be of {order.applied_seq}"
            )
        yield


def _build_anew(
    server: Milvus, order: BuildOrder, wanted: ServerOrder, spec: MilvusSpec, merged: Merged, scratch: Path
) -> MilvusBase:
    try:
        index = build_collection(
            server,
            wanted.collection,
            merged.record_ids,
            merged.save_vectors(scratch / MERGED),
            spec,
            encoder_checksum=order.encoder_checksum,
            applied_seq=order.applied_seq,
            known_seq=order.known_seq,
            tag=order.tag,
        )
    except BaseException:
        with suppress(IndexServerError):  # the sweep finds it
            server.drop(wanted.collection)
        raise
    return MilvusBase(index, merged.record_ids)
