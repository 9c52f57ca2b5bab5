"""From items that wait to what to look at first: clusters, how pressing each is, and what to do with it."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.feedback.clustering import cluster
from app.feedback.schemas import Action, Cluster, ClusterItem, NearGroup, Suggestion
from app.feedback.tables import FeedbackSource, Verdict
from model.contract.deciding.decision import Decision, Outcome
from model.contract.normalise import same_text_key

LEAST_COSINE: Final = 0.4
MOST_COSINE: Final = 0.95
"""Between these the release's threshold says which texts are near each other; one of another score may lie outside."""

OFTEN: Final = 3
"""Asked so often in all, texts that nothing matches had better become a group of their own."""

_GROUPS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item that waits, as read from the database."""

    id: str
    text: str
    source: FeedbackSource
    verdict: Verdict | None
    group: str | None
    count: int


def nearness(threshold: float) -> float:
    """Least cosine of two texts that mean the same, from a release's threshold: that of a text and a record."""
    return min(MOST_COSINE, max(LEAST_COSINE, threshold))


def make_clusters(
    items: Sequence[Waiting],
    embeddings: NDArray[np.float32],
    decisions: Sequence[Decision],
    is_familiar: Sequence[bool],
    least_cosine: float,
) -> list[Cluster]:
    """Cluster items, the most pressing first.

    Args:
        items: Those asked most often first: they become leaders.
        embeddings: (n, dim) float32, theirs.
        decisions: What the release decides on each.
        is_familiar: Whether its encoder knows anything of each; the others are near the very same text only.
        least_cosine: To a cluster's leader.
    """
    clusters = []
    for rows in _rows_of_clusters(items, embeddings, np.array(is_familiar, bool), least_cosine):
        scores = (embeddings[rows] @ embeddings[rows[0]]).tolist()
        clusters.append(_to_cluster([items[row] for row in rows], scores, [decisions[row] for row in rows]))
    return sorted(clusters, key=lambda found: (-found.priority, -found.count, found.items[0].id))


def _rows_of_clusters(
    items: Sequence[Waiting], embeddings: NDArray[np.float32], is_familiar: NDArray[np.bool_], least_cosine: float
) -> Iterator[list[int]]:
    """As the release decides: what it knows nothing of may lie anywhere, and mean anything."""
    known = np.flatnonzero(is_familiar)
    yield from (known[found].tolist() for found in cluster(embeddings[known], least_cosine))
    same: dict[str, list[int]] = {}
    for row in np.flatnonzero(~is_familiar).tolist():
        same.setdefault(same_text_key(items[row].text), []).append(row)
    yield from same.values()


def _to_cluster(items: Sequence[Waiting], scores: Sequence[float], decisions: Sequence[Decision]) -> Cluster:
    leader, count = decisions[0], sum(item.count for item in items)
    uncertainty = _uncertainty(items, decisions)
    return Cluster(
        text=items[0].text,
        size=len(items),
        count=count,
        uncertainty=round(uncertainty, 6),
        priority=round((1.0 + uncertainty) * math.log2(1 + count), 6),
        decision=leader.outcome,
        groups=[
            NearGroup(group=near.group, score=round(near.score, 6), confidence=round(near.confidence, 6))
            for near in leader.groups[:_GROUPS_SHOWN]
        ],
        suggestion=_suggest(items, leader, count),
        items=[
            ClusterItem(
                id=item.id,
                text=item.text,
                source=item.source,
                verdict=item.verdict,
                group=item.group,
                count=item.count,
                score=round(score, 6),
            )
            for item, score in zip(items, scores, strict=True)
        ],
    )


def _uncertainty(items: Sequence[Waiting], decisions: Sequence[Decision]) -> float:
    """The mean over all times it was asked of 1 - confidence; 1 where somebody sent feedback."""
    weighted = (
        item.count * (1.0 if item.verdict is not None else 1.0 - decision.confidence)
        for item, decision in zip(items, decisions, strict=True)
    )
    return sum(weighted) / sum(item.count for item in items)


def _suggest(items: Sequence[Waiting], leader: Decision, count: int) -> Suggestion:
    """What most people said; where nobody said anything, what the release decides, or how often it was asked."""
    votes = Counter(item.group for item in items if item.verdict in (Verdict.RIGHT_GROUP, Verdict.OUT_OF_SCOPE))
    if votes:
        # of equally many the first by name, a group before out of scope
        group = min(votes, key=lambda voted: (-votes[voted], voted is None, voted or ""))
        return Suggestion(action=Action.OUT_OF_SCOPE if group is None else Action.ADD_TO_GROUP, group=group)
    if leader.outcome is not Outcome.NO_MATCH and leader.groups:
        return Suggestion(action=Action.ADD_TO_GROUP, group=leader.groups[0].group)
    return Suggestion(action=Action.NEW_GROUP if count >= OFTEN else Action.OUT_OF_SCOPE, group=None)
