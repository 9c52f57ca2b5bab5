"""Which index to build: its kind and parameters, and the choice made from the size of the collection."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from index.errors import InvalidSpecError

EXACT_LIMIT_FLOATS: Final = 2_560_000
"""Up to this many numbers (10,000 rows of 256, 20,000 of 128) an exact search takes 0.15 ms: nothing to win."""

MIN_IVF_ROWS: Final = 256
"""Below this many rows there are no lists worth learning; `build` makes an exact index instead."""


class IndexKind(StrEnum):
    """How neighbours are found."""

    EXACT = "exact"
    """All rows, one matrix product in NumPy."""
    FLAT = "flat"
    """All rows, by FAISS; wants no BLAS threads of NumPy."""
    IVF_PQ = "ivf_pq"
    """The nearest lists only, by 4-bit product codes; then the best candidates again, in float."""


class Device(StrEnum):
    """Where an index is searched. It is built on the CPU, and its files are the same."""

    CPU = "cpu"
    GPU = "gpu"
    """All rows, or the nearest lists."""
    GPU_CAGRA = "gpu-cagra"
    """Along a graph of neighbours, which is built on the GPU at each load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """What to build. The last four fields belong to IVF_PQ.

    Attributes:
        kind: How neighbours are found.
        nlist: Lists that the rows are divided into; 0 chooses from their number.
        nprobe: Lists looked into for 10 neighbours; 0 tunes it, with `rerank`, to `target_recall`.
        rerank: Candidates scored again in float, for each neighbour wanted; 0 tunes it.
        target_recall: index_recall@10 to reach, in (0, 1].
    """

    kind: IndexKind
    nlist: int = 0
    nprobe: int = 0
    rerank: int = 0
    target_recall: float = 0.99

    @property
    def name(self) -> str:
        """What people are told of its kind."""
        return self.kind

    @property
    def is_tuned(self) -> bool:
        """Whether `target_recall` makes a difference to it."""
        return self.kind is IndexKind.IVF_PQ

    @property
    def parameters(self) -> dict[str, int]:
        """The parameters that its kind has."""
        if self.kind is not IndexKind.IVF_PQ:
            return {}
        return {"nlist": self.nlist, "nprobe": self.nprobe, "rerank": self.rerank}

    def __post_init__(self) -> None:
        for name in ("nlist", "nprobe", "rerank"):
            if getattr(self, name) < 0:
                raise InvalidSpecError(f"{name} is {getattr(self, name)}: give 1 or more, or 0 to have it chosen")
        if (self.nprobe == 0) != (self.rerank == 0):
            raise InvalidSpecError(f"nprobe is {self.nprobe} and rerank {self.rerank}: give both, or 0 for both")
        if not 0 < self.target_recall <= 1:
            raise InvalidSpecError(f"target_recall is {self.target_recall}: give a share in (0, 1]")


def choose_spec(n: int, dim: int, target_recall: float = 0.99) -> IndexSpec:
    """Choose an index for n vectors of `dim` numbers; the search parameters are left to be tuned at build time."""
    if n * dim <= EXACT_LIMIT_FLOATS or n < MIN_IVF_ROWS:
        return IndexSpec(kind=IndexKind.EXACT, target_recall=target_recall)
    return IndexSpec(kind=IndexKind.IVF_PQ, nlist=choose_nlist(n), target_recall=target_recall)


def choose_nlist(n: int) -> int:
    """Lists for n rows: about the square root, as a power of two (256 for 100,000; 1,024 for a million).

    Measured at both sizes, 256 wide: twice as many cost a quarter more a search, and three times the training.
    """
    return int(2 ** round(math.log2(max(1.0, math.sqrt(n)))))


def choose_pq_m(dim: int) -> int:
    """Sub-quantisers for vectors of `dim` numbers: the largest divisor of dim up to dim / 2, if it is at least dim / 4.

    Two numbers share a 4-bit code where dim is even; where no divisor is near (a prime), each number has its own.
    """
    divisors = (m for m in range(dim // 2, math.ceil(dim / 4) - 1, -1) if m > 0 and dim % m == 0)
    return next(divisors, dim)
