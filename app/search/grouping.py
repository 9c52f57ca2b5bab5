"""The best record of each group among the neighbours that were found; done where the search was, off the event loop."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from app.search.answers import SCORE_DIGITS
from app.serving.catalogue.catalogue import CatalogueView
from index.types import MISSING_ID

_AT_ONCE: Final = 1000
"""Records whose groups are read before it is seen whether that is enough."""


class Reach(Enum):
    """Whether records that are farther than those found may bring more groups."""

    ENOUGH = "no: all groups wanted are there, or nothing farther counts"
    FARTHER = "yes: look for more records"
    CUT_OFF = "yes, but the index finds no more of them"


@dataclass(frozen=True, slots=True)
class Grouping:
    """What a search by groups wants.

    Attributes:
        n_groups: Groups of each query.
        min_score: Least cosine, as shown.
    """

    n_groups: int
    min_score: float | None

    def fold(
        self, catalogue: CatalogueView, record_ids: list[int], scores: list[float], n_counting: int
    ) -> tuple[list[int], list[float], Reach]:
        """The first record of each group, and whether there may be more groups.

        Args:
            catalogue: The moment that was searched.
            record_ids: Neighbours of one query, best first, MISSING_ID where there is none.
            scores: Theirs.
            n_counting: Records that the search could have found.
        """
        n_found = record_ids.index(MISSING_ID) if record_ids[-1] == MISSING_ID else len(record_ids)
        best: dict[str, int] = {}
        for start in range(0, n_found, _AT_ONCE):
            groups = catalogue.groups_of(record_ids[start : min(start + _AT_ONCE, n_found)])
            for position, group in enumerate(groups, start):
                if group is not None:
                    best.setdefault(group, position)
            if len(best) >= self.n_groups:
                break
        positions = list(best.values())[: self.n_groups]
        reach = Reach.ENOUGH
        if len(positions) < self.n_groups and n_found < n_counting and not self._is_too_far(scores[:n_found]):
            reach = Reach.FARTHER if n_found == len(record_ids) else Reach.CUT_OFF
        return [record_ids[position] for position in positions], [scores[position] for position in positions], reach

    def _is_too_far(self, scores: list[float]) -> bool:
        return self.min_score is not None and bool(scores) and round(scores[-1], SCORE_DIGITS) < self.min_score
