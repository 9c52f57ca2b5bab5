"""What is to be looked at first, and what is suggested: the documented rules, case by case."""

import math
from dataclasses import replace

import numpy as np
import pytest

from app.feedback.reviewing import Waiting, make_clusters, nearness
from app.feedback.schemas import Action
from app.feedback.tables import FeedbackSource, Verdict
from app.feedback.text_key import text_key
from model.contract.deciding.decision import Decision, GroupConfidence, Outcome


def waiting(key: str, count: int = 1, verdict: Verdict | None = None, group: str | None = None) -> Waiting:
    source = FeedbackSource.KEPT_QUERY if verdict is None else FeedbackSource.CLIENT
    return Waiting(id=key, text=f"text {key}", source=source, verdict=verdict, group=group, count=count)


def decision(outcome: Outcome, confidence: float, *groups: str) -> Decision:
    ranked = tuple(GroupConfidence(group=group, confidence=confidence, score=0.9) for group in groups)
    return Decision(outcome=outcome, confidence=confidence, score=0.5, groups=ranked)


NO_MATCH = decision(Outcome.NO_MATCH, 0.75, "near")
AMBIGUOUS = decision(Outcome.AMBIGUOUS, 0.5, "best", "second")


def one_cluster(items: list[Waiting], decisions: list[Decision]):  # type: ignore[no-untyped-def]
    (found,) = make_clusters(items, np.ones((len(items), 1), np.float32), decisions, [True] * len(items), 0.5)
    return found


def test_priority_is_the_formula_of_the_documentation() -> None:
    items = [waiting("a", count=5), waiting("b", count=2), waiting("c", verdict=Verdict.WRONG_ANSWER)]
    found = one_cluster(items, [NO_MATCH, AMBIGUOUS, NO_MATCH])
    uncertainty = (5 * 0.25 + 2 * 0.5 + 1 * 1.0) / 8
    assert (found.size, found.count) == (3, 8)
    assert found.uncertainty == pytest.approx(uncertainty, abs=1e-6)
    assert found.priority == pytest.approx((1 + uncertainty) * math.log2(9), abs=1e-6)
    assert (found.text, [item.id for item in found.items]) == ("text a", ["a", "b", "c"])
    assert [group.group for group in found.groups] == ["near"]


def test_clusters_come_in_the_order_of_their_priority() -> None:
    items = [waiting("often", count=100), waiting("sure", count=3), waiting("unsure", count=3), waiting("once")]
    decisions = [decision(Outcome.NO_MATCH, confidence) for confidence in (0.9, 0.9, 0.2, 0.2)]
    found = make_clusters(items, np.eye(4, dtype=np.float32), decisions, [True] * 4, 0.5)
    assert [cluster.items[0].id for cluster in found] == ["often", "unsure", "sure", "once"]


def test_a_text_of_which_the_encoder_knows_nothing_is_near_the_very_same_text_only() -> None:
    """Their embeddings say nothing: what is accepted for one of them would be accepted for all."""
    items = [
        replace(waiting(key), text=text) for key, text in zip("abcde", ["👍", "👎", " 👍", "one", "two"], strict=True)
    ]
    alike = np.ones((5, 1), np.float32)
    found = make_clusters(items, alike, [NO_MATCH] * 5, [False] * 3 + [True] * 2, 0.5)
    assert sorted([item.id for item in cluster.items] for cluster in found) == [["a", "c"], ["b"], ["d", "e"]]
    assert len(make_clusters(items, alike, [NO_MATCH] * 5, [True] * 5, 0.5)) == 1


@pytest.mark.parametrize(
    ("items", "leader", "expected"),
    [
        ([waiting("a", count=2)], NO_MATCH, (Action.OUT_OF_SCOPE, None)),
        ([waiting("a", count=3)], NO_MATCH, (Action.NEW_GROUP, None)),
        ([waiting("a", count=2), waiting("b", count=1)], NO_MATCH, (Action.NEW_GROUP, None)),
        ([waiting("a", count=9)], AMBIGUOUS, (Action.ADD_TO_GROUP, "best")),
        ([waiting("a", verdict=Verdict.WRONG_ANSWER)], NO_MATCH, (Action.OUT_OF_SCOPE, None)),
        ([waiting("a", verdict=Verdict.RIGHT_GROUP, group="x")], AMBIGUOUS, (Action.ADD_TO_GROUP, "x")),
        ([waiting("a", 9), waiting("b", verdict=Verdict.OUT_OF_SCOPE)], AMBIGUOUS, (Action.OUT_OF_SCOPE, None)),
        (
            [waiting(key, verdict=Verdict.RIGHT_GROUP, group=group) for key, group in ("ax", "by", "cy")],
            NO_MATCH,
            (Action.ADD_TO_GROUP, "y"),
        ),
        (
            [waiting("a", verdict=Verdict.OUT_OF_SCOPE), waiting("b", verdict=Verdict.RIGHT_GROUP, group="x")],
            NO_MATCH,
            (Action.ADD_TO_GROUP, "x"),
        ),
    ],
)
def test_the_suggestion_is_what_people_said_or_what_the_release_and_the_count_say(
    items: list[Waiting], leader: Decision, expected: tuple[Action, str | None]
) -> None:
    suggestion = one_cluster(items, [leader] * len(items)).suggestion
    assert (suggestion.action, suggestion.group) == expected


def test_a_label_head_may_match_without_any_group() -> None:
    found = one_cluster([waiting("a", count=3)], [decision(Outcome.MATCHED, 0.9)])
    assert found.suggestion.action is Action.NEW_GROUP


@pytest.mark.parametrize(("threshold", "expected"), [(-1.0, 0.4), (0.6, 0.6), (7.5, 0.95)])
def test_the_threshold_of_any_score_becomes_a_cosine_that_separates(threshold: float, expected: float) -> None:
    assert nearness(threshold) == expected


def test_texts_that_the_encoder_cannot_tell_apart_have_one_key() -> None:
    same = ["Where is my Parcel", "where is  my parcel ", "\uff37here is my\u00a0parcel", "where\u200b is my parcel\n"]
    assert {text_key(text) for text in same} == {text_key("where is my parcel")}
    assert len({text_key(text) for text in ("退款", "退 款", "where is my parcels", "whereismyparcel")}) == 4
