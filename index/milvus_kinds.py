"""The kinds of index that a Milvus server builds, their parameters, and how hard each of them searches.

Apart from backends/milvus, since settings, manifests and the rows of every back end name them without a server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from index.errors import InvalidSpecError
from index.spec import choose_nlist

MIN_LISTS: Final = 64
"""A collection may begin empty; and Milvus builds no lists for less than 1,024 rows."""

_EFFORTS: Final = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

_HNSW_LINKS: Final = {"M": 16, "efConstruction": 200}
_CAGRA_LINKS: Final = {"intermediate_graph_degree": 64, "graph_degree": 32}

_CAGRA_MOST: Final = 512
_HNSW_LEAST: Final = 16

TUNED_LIMIT: Final = 32
"""Up to so many rows wanted of the server, it searches with the effort it was tuned to."""


class MilvusKind(StrEnum):
    """How neighbours are found; the GPU kinds only by a server built for it, on a machine that has one."""

    FLAT = "FLAT"
    """All rows."""
    IVF_FLAT = "IVF_FLAT"
    """The nearest lists only."""
    IVF_SQ8 = "IVF_SQ8"
    """The same, by codes of one byte a number; then the best candidates again, in float, by us."""
    HNSW = "HNSW"
    """Along a graph of neighbours."""
    GPU_IVF_FLAT = "GPU_IVF_FLAT"
    GPU_CAGRA = "GPU_CAGRA"
    """Along a graph of neighbours; from Milvus 2.4 on."""

    @property
    def has_lists(self) -> bool:
        """Whether it divides the rows into lists."""
        return self in (MilvusKind.IVF_FLAT, MilvusKind.IVF_SQ8, MilvusKind.GPU_IVF_FLAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class MilvusSpec:
    """What to build.

    Attributes:
        kind: How neighbours are found.
        nlist: Lists of the kinds that have them; 0 chooses from the number of rows.
        effort: Lists looked into, or candidates kept on the way along the graph; 0 tunes it to `target_recall`.
        target_recall: index_recall@10 to reach, in (0, 1].
    """

    kind: MilvusKind
    nlist: int = 0
    effort: int = 0
    target_recall: float = 0.99

    @property
    def name(self) -> str:
        """What people are told of its kind."""
        return f"milvus_{self.kind.lower()}"

    @property
    def is_tuned(self) -> bool:
        """Whether `target_recall` makes a difference to it."""
        return self.kind is not MilvusKind.FLAT

    @property
    def parameters(self) -> dict[str, int]:
        """The parameters that its kind has."""
        if not self.is_tuned:
            return {}
        return {**({"nlist": self.nlist} if self.kind.has_lists else {}), "effort": self.effort}

    def __post_init__(self) -> None:
        for name in ("nlist", "effort"):
            if getattr(self, name) < 0:
                raise InvalidSpecError(f"{name} is {getattr(self, name)}: give 1 or more, or 0 to have it chosen")
        if not 0 < self.target_recall <= 1:
            raise InvalidSpecError(f"target_recall is {self.target_recall}: give a share in (0, 1]")


def choose_lists(spec: MilvusSpec, n: int) -> int:
    """How many lists to divide n rows into; 0 where the kind has none."""
    return (spec.nlist or max(MIN_LISTS, choose_nlist(n))) if spec.kind.has_lists else 0


def build_parameters(spec: MilvusSpec) -> Mapping[str, int]:
    """What the server is told when it builds the index."""
    if spec.kind.has_lists:
        return {"nlist": spec.nlist}
    return {MilvusKind.HNSW: _HNSW_LINKS, MilvusKind.GPU_CAGRA: _CAGRA_LINKS}.get(spec.kind, {})


def efforts_of(spec: MilvusSpec) -> list[int]:
    """The efforts worth trying, least first; the last is as hard as it can search."""
    if spec.kind.has_lists:
        return sorted({1, 2, 3, *(effort for effort in _EFFORTS if effort < spec.nlist), spec.nlist})
    if spec.kind is MilvusKind.FLAT:
        return [0]
    most = _CAGRA_MOST if spec.kind is MilvusKind.GPU_CAGRA else _EFFORTS[-1]
    return [effort for effort in _EFFORTS if _HNSW_LEAST <= effort <= most]


def search_parameters(spec: MilvusSpec, limit: int, effort: int) -> Mapping[str, int]:
    """What the server is told with a search.

    Args:
        spec: With all parameters chosen.
        limit: Rows wanted.
        effort: One of `efforts_of`, for TUNED_LIMIT rows; more rows get more of it.
    """
    more = effort * max(1, limit // TUNED_LIMIT)
    if spec.kind.has_lists:
        return {"nprobe": min(spec.nlist, more)}
    if spec.kind is MilvusKind.HNSW:
        return {"ef": min(32_768, max(limit, more))}
    if spec.kind is MilvusKind.GPU_CAGRA:
        return {"itopk_size": max(limit, effort)}
    return {}
