"""Applying the change log to a release in memory, in sequence order. Repeating it is harmless."""

from typing import Final

import numpy as np

from app.db import Database
from app.serving.release import ServingRelease
from app.serving.repository import read_changes

CHANGES_AT_ONCE: Final = 1000


def apply_changes(database: Database, release: ServingRelease, limit: int = CHANGES_AT_ONCE) -> int:
    """Apply the next changes of the release's collection, each record as it is now.

    A record whose text is as it was (another group, other metadata) keeps its vector.

    Returns:
        How many changes were applied; 0 when the release has caught up.

    Raises:
        LogTrimmedError: The release is behind the log and must be loaded again.
    """
    view = release.view
    before = view.applied_seq
    batch = database.read(lambda session: read_changes(session, release.key.collection_id, before, limit))
    if batch is None:
        return 0
    known = view.catalogue.find(list(batch.entries))
    new = [
        (record_id, entry.text)
        for (record_id, entry), old in zip(batch.entries.items(), known, strict=True)
        if old is None or old.text != entry.text
    ]
    vectors = release.bundle.encoder.encode([text for _, text in new])
    release.apply(batch, np.array([record_id for record_id, _ in new], np.int64), vectors)
    return batch.last_seq - before
