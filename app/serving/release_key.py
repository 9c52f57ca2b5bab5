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
        return releases_folder(data, self.collection_id) / str(self.release_id) / "snapshots"


def releases_folder(data: Path, collection_id: int) -> Path:
    """Where the folders of a collection's releases lie, called by their ids."""
    return data / "collections" / str(collection_id) / "releases"
