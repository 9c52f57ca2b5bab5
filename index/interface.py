"""What every index can do."""

from typing import Protocol

from index.types import Allowed, Neighbours, Vectors


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
