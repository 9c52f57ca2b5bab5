"""Applying the change log to a release in memory, in sequence order. Repeating it is harmless."""

from typing import Final

import numpy as np

from app.db import Database
from app.serving.loading import ENCODED_AT_ONCE
from app.serving.release import ServingRelease
from app.serving.repository import read_changes

CHANGES_AT_ONCE: Final = 1000


def apply_changes(database: Database, release: ServingRelease, limit: int = CHANGES_AT_ONCE) -> int:
    """Apply the next changes of the release's collection, each record as it is now.

    A record whose text is as it was (another group, other metadata) keeps its vector. Searches see the batch as a
    whole: the entries are there before the index names them, and stay until it names them no more.

    Returns:
        How many changes were applied; 0 when the release has caught up.

    Raises:
        LogTrimmedError: The release is behind the log and must be loaded again.
    """
    before = release.index.applied_seq
    batch = database.read(lambda session: read_changes(session, release.key.collection_id, before, limit))
    if batch is None:
        return 0
    find = release.catalogue.find
    new = [
        record_id
        for record_id, entry in batch.entries.items()
        if (old := find(record_id)) is None or old.text != entry.text
    ]
    vectors = _encode(release, [batch.entries[record_id].text for record_id in new])
    release.catalogue.put(batch.entries)
    release.index.apply(np.array(new, np.int64), vectors, np.array(batch.gone, np.int64), batch.last_seq)
    release.catalogue.remove(batch.gone)
    return batch.last_seq - before


def _encode(release: ServingRelease, texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    encoder = release.bundle.encoder
    vectors = np.empty((len(texts), encoder.dim), np.float32)
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        vectors[start : start + ENCODED_AT_ONCE] = encoder.encode(texts[start : start + ENCODED_AT_ONCE])
    return vectors
