"""A release in memory: encoder, index, catalogue and thresholds that belong together, behind one reference."""

from dataclasses import dataclass
from pathlib import Path

from app.serving.catalogue import Catalogue
from index.live import LiveIndex
from model.contract.bundle import Bundle
from model.contract.decision import DecisionParameters


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
        return data / "collections" / str(self.collection_id) / "releases" / str(self.release_id) / "snapshots"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class ServingRelease:
    """All that a request needs; it takes one reference to this and uses it from start to end.

    Another load of the same release is another object, equal to itself alone.
    """

    key: ReleaseKey
    bundle: Bundle
    parameters: DecisionParameters
    index: LiveIndex
    catalogue: Catalogue
