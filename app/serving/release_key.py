"""Which release of which collection."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseKey:
    """Which release of which collection, as the database names them."""

    collection_id: int
    collection: str
    release_id: int
    number: int
    encoder_sha: str

    def folder(self, data: Path) -> Path:
        """Where its snapshots lie."""
        return snapshots_folder(data, self.collection_id, self.release_id)


def snapshots_folder(data: Path, collection_id: int, release_id: int) -> Path:
    """Where the snapshots of a release lie; the folders are called by the ids."""
    return data / "collections" / str(collection_id) / "releases" / str(release_id) / "snapshots"
