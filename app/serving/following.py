"""Applying the change log to a release in memory, in sequence order. Repeating it is harmless."""

from typing import Final

import numpy as np

from app.db import Database
from app.encoding.bulk import encode_many
from app.serving.entry import Entry
from app.serving.release import ServingRelease, View
from app.serving.repository import read_changes

CHANGES_AT_ONCE: Final = 1000


def apply_changes(
    database: Database, release: ServingRelease, limit: int = CHANGES_AT_ONCE, donor: View | None = None
) -> int:
    """Apply the next changes of the release's collection, each record as it is now.

    A record whose text is as it was (another group, other metadata) keeps its vector. So does one whose text the
    `donor` has, another release's view with the same encoder.

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
    new = _without_same_texts(batch.entries, view)
    rest = new if donor is None else _without_same_texts(new, donor)
    vectors = encode_many(release.bundle.encoder, [entry.text for entry in rest.values()])
    record_ids = np.fromiter(rest, np.int64, len(rest))
    if donor is not None and len(rest) < len(new):
        given = np.array([record_id for record_id in new if record_id not in rest], np.int64)
        record_ids = np.concatenate([record_ids, given])
        vectors = np.concatenate([vectors, donor.index.vectors_of(given)])
    release.apply(batch, record_ids, vectors)
    return batch.last_seq - before


def _without_same_texts(entries: dict[int, Entry], view: View) -> dict[int, Entry]:
    """Those of the entries whose text the view does not have for the same record."""
    known = view.catalogue.find(list(entries))
    return {
        record_id: entry
        for (record_id, entry), old in zip(entries.items(), known, strict=True)
        if old is None or old.text != entry.text
    }
