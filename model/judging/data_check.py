"""What is odd about the records of a collection, said before a training: by their texts, and by the active encoder."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.contract.bundle import Bundle
from model.contract.dataset import OUT_OF_SCOPE, Row, count_groups, text_key
from model.contract.keep_out import is_kept_out
from model.evaluation.neighbours import nearest
from model.judging.answers import Tell, encode

MOST_SHOWN: Final = 100
"""Findings of each kind that are named; all are counted."""

MOST_COMPARED: Final = 20_000
"""Sentences that are compared with all others; of more, as many are drawn."""

NEAR: Final = 0.97
"""Cosine from which two sentences of different groups count as near duplicates, if they are written alike too."""

ALIKE: Final = 0.5
"""Share of their character pairs that two sentences have in common from which they are written alike."""

_NEIGHBOURS: Final = 10
_OTHERS: Final = 0.6
"""Share of the votes that another group needs for a sentence to look as if it belonged there."""

_OWN: Final = 0.1
"""Share that its own group has then at most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something odd, with the groups and the ids of the records that it is about."""

    kind: str
    detail: str
    groups: list[str]
    ids: list[str]
    weight: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "detail": self.detail, "groups": self.groups, "ids": self.ids}


def check_data(rows: Sequence[Row], bundle: Bundle, share: float, tell: Tell) -> dict[str, Any]:
    """Look at the rows of a collection.

    Args:
        rows: All of them.
        bundle: Whose encoder tells what is near.
        share: Of the sentences that no training learns from.
        tell: Hears how many sentences more are done.

    Returns:
        counts, totals (findings by kind), findings (the worst of each kind), compared, and fatal: None, or code and
        detail of why nothing can be learned.
    """
    examples = [row for row in rows if row.role != OUT_OF_SCOPE and row.group is not None]
    drawn = _drawn(len(examples))
    findings = [*_same_texts(examples), *_single_variants(examples), *_by_neighbours(examples, bundle, drawn, tell)]
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_kind[finding.kind].append(finding)
    worst = [
        finding.as_dict()
        for found in by_kind.values()
        for finding in sorted(found, key=lambda finding: -finding.weight)[:MOST_SHOWN]
    ]
    return {
        "counts": _count(rows, share),
        "totals": {kind: len(found) for kind, found in by_kind.items()},
        "findings": worst,
        "compared": len(drawn),
        "fatal": _fatal(rows, share),
    }


def suspects(checked: dict[str, Any]) -> frozenset[str]:
    """The ids of sentences that look mislabelled, of what `check_data` returned."""
    found = (finding["ids"][0] for finding in checked["findings"] if finding["kind"] == "likely_mislabelled")
    return frozenset(found)


def _count(rows: Sequence[Row], share: float) -> dict[str, int]:
    return {
        "rows": len(rows),
        "groups": len(count_groups(rows)),
        "labels": len({label for row in rows for label in row.likely_labels}),
        "out_of_scope": sum(row.role == OUT_OF_SCOPE for row in rows),
        "kept_out": sum(is_kept_out(row.text, share) for row in rows),
    }


def _fatal(rows: Sequence[Row], share: float) -> dict[str, str] | None:
    examples = [row for row in rows if row.role != OUT_OF_SCOPE]
    learnt = [row for row in examples if not is_kept_out(row.text, share)]
    groups, labels = count_groups(learnt), {label for row in learnt for label in row.likely_labels}
    kept_out = [group for group in count_groups(examples) if group not in groups]
    if groups and len(groups) < 2:
        one = f"training needs at least two groups, and there is one, {next(iter(groups))!r}: add another"
        if kept_out:
            one = (
                f"training needs at least two groups, and may learn from one, {next(iter(groups))!r}: all sentences of "
                f"{kept_out[0]!r} are kept out, to judge releases by: add variants to it"
            )
        return {"code": "too_few_groups", "detail": one}
    if not groups and not labels:
        none = f"none of the {len(rows)} records has a group or a label: give two groups some sentences"
        if any(row.group is not None or row.likely_labels for row in examples):
            none = "all sentences with a group or a label are kept out, to judge releases by: add more"
        return {"code": "nothing_to_learn", "detail": none}
    return None


def _same_texts(examples: Sequence[Row]) -> Iterable[Finding]:
    by_key: dict[str, list[Row]] = defaultdict(list)
    for row in examples:
        by_key[text_key(row.text)].append(row)
    for same in by_key.values():
        groups = sorted({row.group for row in same if row.group is not None})
        if len(groups) > 1:
            detail = (
                f"the same sentence stands in {len(groups)} groups, which so cannot be told apart: keep one of them"
            )
            yield Finding("same_text_in_two_groups", detail, groups, [row.id or "" for row in same], len(same))


def _single_variants(examples: Sequence[Row]) -> Iterable[Finding]:
    sizes = count_groups(examples)
    for row in examples:
        if row.group is not None and sizes[row.group] == 1:
            detail = "the group has one sentence only: add variants"
            yield Finding("single_variant_group", detail, [row.group], [row.id or ""])


def _by_neighbours(examples: Sequence[Row], bundle: Bundle, drawn: NDArray[np.int64], tell: Tell) -> Iterable[Finding]:
    if len(examples) < 2:
        return
    embeddings = encode(bundle, [row.text for row in examples], tell)
    found = nearest(embeddings[drawn], embeddings, _NEIGHBOURS, exclude=drawn)
    sizes = count_groups(examples)
    told: set[tuple[int, int]] = set()
    for number, others, cosines in zip(drawn.tolist(), found.rows.tolist(), found.scores.tolist(), strict=True):
        yield from _near_duplicates(examples, number, others, cosines, told)
        yield from _mislabelled(examples, number, others, cosines, sizes)


def _near_duplicates(
    examples: Sequence[Row], number: int, others: Sequence[int], cosines: Sequence[float], told: set[tuple[int, int]]
) -> Iterable[Finding]:
    """Pairs that are not told yet; either may be among the other's nearest alone, or be the only one drawn."""
    row = examples[number]
    for other, cosine in zip(others, cosines, strict=True):
        match, pair = examples[other], (min(number, other), max(number, other))
        if cosine < NEAR or match.group == row.group or pair in told or not _are_alike(row.text, match.text):
            continue
        told.add(pair)
        detail = f"two sentences of different groups are near duplicates (cosine {cosine:.3f})"
        groups = [row.group or "", match.group or ""]
        yield Finding("near_duplicate_across_groups", detail, groups, [row.id or "", match.id or ""], cosine)


def _are_alike(text: str, other: str) -> bool:
    """Whether two sentences share most of their letters in a row, and are not the same."""
    keys = text_key(text), text_key(other)
    pairs, others = ({key[at : at + 2] for at in range(max(1, len(key) - 1))} for key in keys)
    return keys[0] != keys[1] and len(pairs & others) >= ALIKE * len(pairs | others)


def _mislabelled(
    examples: Sequence[Row], number: int, others: Sequence[int], cosines: Sequence[float], sizes: Counter[str]
) -> Iterable[Finding]:
    """A sentence whose neighbours, without itself, are mostly of one other group and hardly of its own."""
    row = examples[number]
    if row.group is None or sizes[row.group] < 2:
        return
    votes: dict[str, float] = defaultdict(float)
    for other, cosine in zip(others, cosines, strict=True):
        votes[examples[other].group or ""] += max(0.0, cosine)
    total = sum(votes.values())
    if not total:
        return
    best = max(votes, key=lambda group: (votes[group], group))
    own, other_share = votes.get(row.group, 0.0) / total, votes[best] / total
    if best != row.group and other_share >= _OTHERS and own <= _OWN:
        near = f"{other_share:.0%} of what is near stands in {best!r}, and {own:.0%} in its own group"
        detail = f"{near}: move it, if it belongs there"
        yield Finding("likely_mislabelled", detail, [row.group, best], [row.id or ""], other_share - own)


def _drawn(n: int) -> NDArray[np.int64]:
    """(n,) or fewer row numbers, the same at every run."""
    if n <= MOST_COMPARED:
        return np.arange(n)
    return np.sort(np.random.default_rng(n).choice(n, MOST_COMPARED, replace=False))
