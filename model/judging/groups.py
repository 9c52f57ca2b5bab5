"""Which groups are told apart and which are not: figures of each, the pairs that are confused, and what to do."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

from model.judging.answers import Answers, given_group
from model.judging.rows import JudgedRows

MOST_PAIRS: Final = 30
MOST_IDS: Final = 10

_BOTH_WAYS: Final = 0.25
"""Share of the sentences of both groups that is confused, from which they look like one."""


def figures_of_groups(rows: JudgedRows, candidate: Answers, active: Answers) -> list[dict[str, Any]]:
    """n, precision and recall of every group that was asked for, by the candidate and by what answers now.

    Precision is None where a group was never given. The groups that the candidate finds worst come first.
    """
    true = [row.group or "" for row in rows.asked]
    sizes = Counter(true)
    of_candidate, of_active = (_precision_and_recall(true, answers) for answers in (candidate, active))
    found = [
        {
            "group": group,
            "n": n,
            "precision": of_candidate[group][0],
            "recall": of_candidate[group][1],
            "precision_before": of_active[group][0],
            "recall_before": of_active[group][1],
        }
        for group, n in sizes.items()
    ]
    return sorted(found, key=lambda figures: (figures["recall"], -figures["n"], figures["group"]))


def confusions(rows: JudgedRows, candidate: Answers, suspects: frozenset[str]) -> list[dict[str, Any]]:
    """The pairs of groups that the candidate confuses most, with the sentences behind it and what to do.

    `move` where the stored sentence that led astray looks as if it stood in the wrong group; `merge` where the two
    groups are taken for each other both ways; else `add_variants`.

    Args:
        rows: What was asked.
        candidate: Its answers.
        suspects: Ids of stored sentences that look mislabelled.

    Returns:
        Each with group, given, n, asked and caused_by (ids), advice and why.
    """
    pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, (row, decision) in enumerate(zip(rows.asked, candidate.decisions, strict=True)):
        given = given_group(decision)
        if given is not None and given != row.group:
            pairs[row.group or "", given].append(number)
    sizes = Counter(row.group for row in rows.asked)
    ranked = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_PAIRS]
    found = []
    for (group, given), numbers in ranked:
        causes = _causes(rows, candidate, numbers, given)
        n_both = len(numbers) + len(pairs.get((given, group), ()))
        share = n_both / (sizes[group] + sizes[given])
        advice, why = _advise(group, given, causes, suspects, share, is_mutual=(given, group) in pairs)
        found.append(
            {
                "group": group,
                "given": given,
                "n": len(numbers),
                "asked": [rows.asked[number].id for number in numbers[:MOST_IDS]],
                "caused_by": causes[:MOST_IDS],
                "advice": advice,
                "why": why,
            }
        )
    return found


def _advise(
    group: str, given: str, causes: Sequence[str], suspects: frozenset[str], share: float, *, is_mutual: bool
) -> tuple[str, str]:
    moved = [cause for cause in causes if cause in suspects]
    if moved:
        return "move", f"{moved[0]!r} stands in {given!r} and looks like {group!r}: move it, if that is so"
    if is_mutual and share >= _BOTH_WAYS:
        return (
            "merge",
            f"{share:.0%} of the sentences of both are taken for the other group: merge them, if they are one",
        )
    return "add_variants", f"add variants to {group!r} that say it as these sentences do"


def _causes(rows: JudgedRows, candidate: Answers, numbers: Sequence[int], given: str) -> list[str]:
    """The ids of the nearest stored sentences of the group that was given."""
    causes: Counter[str] = Counter()
    for number in numbers:
        for at in candidate.nearest.rows[number].tolist():
            if rows.stored[at].group == given:
                causes[rows.stored[at].id or ""] += 1
                break
    return [cause for cause, _ in causes.most_common()]


def _precision_and_recall(true: Sequence[str], answers: Answers) -> dict[str, tuple[float | None, float]]:
    given = [given_group(decision) for decision in answers.decisions]
    n_true, n_given = Counter(true), Counter(given)
    n_right = Counter(group for group, other in zip(true, given, strict=True) if group == other)
    return {
        group: (n_right[group] / n_given[group] if n_given[group] else None, n_right[group] / n)
        for group, n in n_true.items()
    }
