"""Which group each held-out sentence was given, which groups are taken for one another, which are hardest."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.contract.dataset import text_key
from model.evaluation.held_out import HeldOutAnswers, answerable
from model.evaluation.neighbours import nearest
from model.report.data import Answer, Confusion, Figures, HardGroup, Near
from model.report.wording import shorten, shorten_name

MOST_CONFUSIONS, MOST_HARD = 12, 12
_FEWEST_CONFUSIONS = 4
_EXAMPLES = 3

BY_HEAD = "the group whose class vector is nearest"
BY_NEIGHBOUR = "the group of the nearest other sentence"


@dataclass(frozen=True, slots=True)
class Answered:
    """Every sentence with a group, and the answers to the held-out ones.

    Attributes:
        texts, groups: Of the training and held-out rows, in the order of `embeddings`.
        embeddings: (n, dim) unit rows.
        rows: Row numbers of the held-out sentences that were asked.
        given: The group that each was given.
        by: How, in words.
    """

    texts: Sequence[str]
    groups: Sequence[str]
    embeddings: NDArray[np.float32]
    rows: Sequence[int]
    given: Sequence[str]
    by: str

    def pairs(self) -> list[tuple[str, str]]:
        """True and given group of each held-out sentence."""
        return [(self.groups[row], given) for row, given in zip(self.rows, self.given, strict=True)]


def answer_held_out(texts: Sequence[str], groups: Sequence[str], n_train: int, seen: HeldOutAnswers) -> Answered:
    """Give each held-out sentence its group: by class vector if most of their groups have one, else by neighbour.

    A sentence alone in its group has no neighbour that would be right, and is not asked.
    """
    rows = range(n_train, len(groups))
    labels = set(seen.head_labels)
    known = sum(groups[row] in labels for row in rows)
    if seen.head_given and known > len(rows) / 2:
        return Answered(texts, groups, seen.embeddings, rows, seen.head_given, BY_HEAD)
    asked = answerable(groups, n_train)
    found = nearest(seen.embeddings[asked], seen.embeddings, 1, exclude=np.array(asked, np.int64)) if asked else None
    given = [groups[row] for row in found.rows[:, 0]] if found else []
    return Answered(texts, groups, seen.embeddings, asked, given, BY_NEIGHBOUR)


def count_figures(pairs: Sequence[tuple[str, str]]) -> list[Figures]:
    """Figures of every group that is the true one of some sentence, in order of name."""
    true, given = Counter(t for t, _ in pairs), Counter(g for _, g in pairs)
    right = Counter(t for t, g in pairs if t == g)
    return [
        Figures(name=shorten_name(group), n_true=true[group], n_answered=given[group], n_right=right[group])
        for group in sorted(true)
    ]


def find_confusions(answered: Answered) -> tuple[tuple[Confusion, ...], int]:
    """The pairs of groups most often taken for one another, and how many pairs there are.

    Returns:
        At most `MOST_CONFUSIONS`, most wrong answers first, ties by name, single mistakes only where there are few
        pairs; and the number of all.
    """
    astray: dict[tuple[str, str], list[int]] = defaultdict(list)
    for position, (true, given) in enumerate(answered.pairs()):
        if true != given:
            astray[min(true, given), max(true, given)].append(position)
    worst = sorted(astray.items(), key=lambda item: (-len(item[1]), item[0]))
    sentences = _Sentences(answered)
    repeated = sum(len(positions) > 1 for _, positions in worst)
    shown = worst[: min(MOST_CONFUSIONS, max(_FEWEST_CONFUSIONS, repeated))]
    return tuple(_confusion(answered, sentences, *pair) for pair in shown), len(worst)


def find_hard_groups(answered: Answered) -> tuple[tuple[HardGroup, ...], int]:
    """The groups of lowest F1 among those with a wrong answer, and how many have one.

    Of equal F1 the group with more held-out sentences comes first: its figure is surer.
    """
    positions: dict[str, list[int]] = defaultdict(list)
    for position, (true, _) in enumerate(answered.pairs()):
        positions[true].append(position)
    groups = sorted(positions)
    hard = [
        (figures, group)
        for figures, group in zip(count_figures(answered.pairs()), groups, strict=True)
        if figures.n_right < figures.n_true
    ]
    hard.sort(key=lambda item: (item[0].f1, -item[0].n_true, item[1]))
    sentences = _Sentences(answered)
    sizes = Counter(answered.groups)
    return tuple(
        HardGroup(figures=figures, size=sizes[group], answers=sentences.answers(positions[group]))
        for figures, group in hard[:MOST_HARD]
    ), len(hard)


class _Sentences:
    """Looks up the sentences that speak for and against an answer."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        by_group: dict[str, list[int]] = defaultdict(list)
        for row, group in enumerate(answered.groups):
            by_group[group].append(row)
        self.rows_of = {group: np.array(rows) for group, rows in by_group.items()}

    def answers(self, positions: Sequence[int]) -> tuple[Answer, ...]:
        """Some of these held-out sentences with their answers, wrong ones first."""
        pairs = self._answered.pairs()
        order = sorted(positions, key=lambda position: pairs[position][0] == pairs[position][1])
        return tuple(self._answer(position) for position in order[:_EXAMPLES])

    def _answer(self, position: int) -> Answer:
        row, given = self._answered.rows[position], self._answered.given[position]
        group = self._answered.groups[row]
        return Answer(
            sentence=shorten(self._answered.texts[row]),
            group=shorten_name(group),
            answered=shorten_name(given),
            near_own=self._near(row, group),
            near_answered=self._near(row, given),
        )

    def _near(self, row: int, group: str) -> Near | None:
        others = self.rows_of.get(group, np.array([], np.int64))
        others = others[others != row]
        if not len(others):
            return None
        cosines = self._answered.embeddings[others] @ self._answered.embeddings[row]
        best = int(cosines.argmax())
        return Near(sentence=shorten(self._answered.texts[others[best]]), score=float(cosines[best]))


def _confusion(answered: Answered, sentences: _Sentences, pair: tuple[str, str], positions: Sequence[int]) -> Confusion:
    counts = Counter(answered.groups[answered.rows[position]] for position in positions)
    first, second = sorted(pair, key=lambda group: (-counts[group], group))
    rows = [sentences.rows_of.get(group, np.array([], np.int64)) for group in (first, second)]
    keys = [{text_key(answered.texts[row]) for row in of_group} for of_group in rows]
    return Confusion(
        first=shorten_name(first),
        second=shorten_name(second),
        first_as_second=counts[first],
        second_as_first=counts[second],
        first_size=len(rows[0]),
        second_size=len(rows[1]),
        shared=len(keys[0] & keys[1]),
        examples=sentences.answers(positions),
    )
