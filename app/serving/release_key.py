"""Which release of which collection."""

from dataclasses import dataclass
from pathlib import Path

from app.data_layout import snapshots_folder


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
