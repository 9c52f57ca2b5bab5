"""Confusions and figures of groups, against scikit-learn and against a look at every pair of sentences."""

from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from model.evaluation.held_out import HeldOutAnswers
from model.report.answers import (
    BY_HEAD,
    BY_NEIGHBOUR,
    MOST_CONFUSIONS,
    Answered,
    answer_held_out,
    count_figures,
    find_confusions,
    find_hard_groups,
)
from tests.fakes.finished_run import make_embeddings

GROUPS = [f"g{number}" for number in range(6)]


@pytest.fixture
def answered() -> Answered:
    """60 training and 90 held-out sentences of six groups, answered at random but mostly right."""
    rng = np.random.default_rng(3)
    groups = [str(rng.choice(GROUPS)) for _ in range(150)]
    given = [group if rng.random() < 0.5 else str(rng.choice(GROUPS)) for group in groups[60:]]
    texts = [f"sentence {number}" for number in range(150)]
    return Answered(texts, groups, make_embeddings(groups, rng), range(60, 150), given, BY_HEAD)


def test_confusions_are_the_pairs_off_the_diagonal(answered: Answered) -> None:
    true, given = zip(*answered.pairs(), strict=True)
    matrix = confusion_matrix(true, given, labels=GROUPS)
    both = matrix + matrix.T
    expected = {(a, b): int(both[a, b]) for a in range(6) for b in range(a) if both[a, b]}
    found, n = find_confusions(answered)
    assert n == len(expected)
    counts = sorted(expected.values(), reverse=True)
    repeated = [count for count in counts if count > 1]
    assert 4 < len(repeated) < min(len(counts), MOST_CONFUSIONS)
    assert [confusion.n for confusion in found] == repeated  # of enough pairs, single mistakes are left out
    for confusion in found:
        first, second = GROUPS.index(confusion.first), GROUPS.index(confusion.second)
        assert confusion.first_as_second == matrix[first, second]
        assert confusion.second_as_first == matrix[second, first] <= confusion.first_as_second
        assert confusion.first_size == answered.groups.count(confusion.first)
        assert confusion.examples
        for example in confusion.examples:
            assert {example.group, example.answered} == {confusion.first, confusion.second}


def test_an_example_shows_the_nearest_other_sentence_of_each_group(answered: Answered) -> None:
    found, _ = find_confusions(answered)
    cosines = np.asarray(answered.embeddings, np.float64) @ np.asarray(answered.embeddings, np.float64).T
    for example in (example for confusion in found for example in confusion.examples):
        row = answered.texts.index(example.sentence)
        for group, near in ((example.group, example.near_own), (example.answered, example.near_answered)):
            others = [r for r in range(150) if answered.groups[r] == group and r != row]
            best = max(others, key=lambda other: cosines[row, other])
            assert near is not None
            assert near.sentence == answered.texts[best]
            assert near.score == pytest.approx(cosines[row, best], abs=1e-5)


def test_figures_are_those_of_scikit_learn(answered: Answered) -> None:
    true, given = zip(*answered.pairs(), strict=True)
    precision, recall, f1, support = precision_recall_fscore_support(true, given, labels=GROUPS, zero_division=0)
    for index, figures in enumerate(count_figures(answered.pairs())):
        assert figures.name == GROUPS[index]
        assert figures.n_true == support[index]
        assert (figures.precision, figures.recall, figures.f1) == pytest.approx(
            (precision[index], recall[index], f1[index])
        )


def test_the_hardest_groups_come_first_with_their_mistakes(answered: Answered) -> None:
    true, given = zip(*answered.pairs(), strict=True)
    _, _, f1, _ = precision_recall_fscore_support(true, given, labels=GROUPS, zero_division=0)
    hard, n = find_hard_groups(answered)
    assert n == len(hard) == len({t for t, g in answered.pairs() if t != g})
    assert [group.figures.f1 for group in hard] == pytest.approx(sorted(f1))
    for group in hard:
        assert group.answers[0].answered != group.answers[0].group == group.figures.name
        assert group.size == Counter(answered.groups)[group.figures.name]


def test_a_sentence_that_stands_in_both_groups_is_counted() -> None:
    texts = ["Same!", "a1", "same", "b1", "asked"]
    groups = ["a", "a", "b", "b", "a"]
    embeddings = make_embeddings(groups, np.random.default_rng(0))
    found, _ = find_confusions(Answered(texts, groups, embeddings, [4], ["b"], BY_HEAD))
    assert (found[0].shared, found[0].first, found[0].second) == (1, "a", "b")


AXES = np.eye(3, dtype=np.float32)


def seen(embeddings: np.ndarray, labels: tuple[str, ...] = (), cosines: np.ndarray | None = None) -> HeldOutAnswers:  # type: ignore[type-arg]
    given = () if cosines is None else tuple(labels[label] for label in cosines.argmax(axis=1))
    return HeldOutAnswers(monitor="", embeddings=embeddings, head_labels=labels, head_given=given)


def test_known_groups_are_answered_by_the_head() -> None:
    cosines = np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)
    found = answer_held_out(list("pqrs"), ["a", "b", "a", "b"], 2, seen(AXES[[0, 1, 0, 1]], ("a", "b"), cosines))
    assert (list(found.given), found.by) == (["b", "a"], BY_HEAD)


def test_unseen_groups_are_answered_by_the_nearest_other_sentence() -> None:
    groups = ["a", "b", "x", "x", "alone"]
    embeddings = AXES[[0, 1, 2, 2, 1]]
    cosines = np.ones((3, 2), np.float32)
    found = answer_held_out(list("pqrst"), groups, 2, seen(embeddings, ("a", "b"), cosines))
    assert found.by == BY_NEIGHBOUR
    assert list(found.rows) == [2, 3]  # one alone in its group cannot be answered rightly
    assert list(found.given) == ["x", "x"]
