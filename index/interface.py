"""What every index can do: the read protocol, and the writer's beside it."""

from typing import Protocol

from index.types import Allowed, Ids, Neighbours, Vectors


class IndexReader(Protocol):
    """An immutable set of vectors that answers nearest-neighbour queries. Safe to use from many threads."""

    @property
    def dim(self) -> int: ...

    def __len__(self) -> int: ...

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Neighbours:
        """Find the k records of highest cosine for each query.

        Args:
            queries: (n, dim) float32, unit length.
            k: Neighbours wanted, at least 1; may exceed the number of records.
            allowed: Mask over record ids, not to be changed afterwards; None allows all. Preparing a mask takes longer
                than many a search: the very same array given again is not prepared again.
        """
        ...


class IndexWriter(Protocol):
    """Applies changes in sequence order. One thread writes; readers see a change whole or not at all."""

    @property
    def applied_seq(self) -> int:
        """The sequence number up to which every change has been applied."""
        ...

    def upsert(self, record_ids: Ids, vectors: Vectors, seq: int) -> None:
        """Add the records or replace their vectors; `seq` is the last change of the batch. Repeating it is harmless."""
        ...

    def delete(self, record_ids: Ids, seq: int) -> None:
        """Remove the records that are there; absent ones are ignored."""
        ...
