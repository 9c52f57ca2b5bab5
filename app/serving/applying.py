"""Applying the change log to a release in memory, in sequence order. Repeating it is harmless."""

from typing import Final

import numpy as np

from app.db.database import Database
from app.encoding.bulk import encode_many
from app.serving.catalogue.entry import Entry
from app.serving.release import ServingRelease, View
from app.serving.repository import read_changes

CHANGES_AT_ONCE: Final = 2000


def apply_changes(
    database: Database, release: ServingRelease, limit: int = CHANGES_AT_ONCE, donor: View | None = None
) -> int:
    """Apply the next changes of the release's collection, each record as it is now.

    A record whose text is as it was (another group, other metadata) keeps its vector. So does one whose text the
    `donor` has, another release's view with the same encoder. Neither asks an index server: see `without_vectors`.

    Returns:
        How many changes were applied; 0 when the release has caught up.

    Raises:
        LogTrimmedError: The release is behind the log, or of another history, and must be loaded again.
    """
    view = release.view
    before, collection_id = view.applied_seq, release.key.collection_id
    batch = database.read(lambda session: read_changes(session, collection_id, before, limit, view.known_seq, view.tag))
    if batch is None:
        return 0
    new = without_vectors(batch.entries, view)
    rest = new if donor is None else without_vectors(new, donor)
    vectors = encode_many(release.bundle.encoder, [entry.text for entry in rest.values()])
    record_ids = np.fromiter(rest, np.int64, len(rest))
    if donor is not None and len(rest) < len(new):
        given = np.array([record_id for record_id in new if record_id not in rest], np.int64)
        record_ids = np.concatenate([record_ids, given])
        vectors = np.concatenate([vectors, donor.index.vectors_of(given)])
    release.apply(batch, record_ids, vectors)
    return batch.last_seq - before


def without_vectors(entries: dict[int, Entry], view: View) -> dict[int, Entry]:
    """Those of the entries whose vector the view does not have, of the same record with the same text.

    What a base on an index server has does not count: the next compaction may have replaced it already, and so every
    record that changed since such a base has its vector here.
    """
    record_ids = list(entries)
    same = [
        old is not None and old.text == entry.text
        for entry, old in zip(entries.values(), view.catalogue.find(record_ids), strict=True)
    ]
    kept = np.array(same, np.bool_) & view.index.are_here(np.array(record_ids, np.int64))
    return {
        number: entry for (number, entry), is_kept in zip(entries.items(), kept.tolist(), strict=True) if not is_kept
    }
