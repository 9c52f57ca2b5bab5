"""Sentences that are there several times: learnt from once, and told of where they would flatter or contradict."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from model.contract.dataset import Row, text_key


def without_repeats(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Leave out rows that repeat an earlier one: the same text (`text_key`), group, role and labels.

    A copy held out of a training that has the other one is answered by heart, and so are thresholds chosen by it, since
    held-out rows are looked up among each other too.

    Returns:
        The first row of each, in their order, and a sentence for the user if others were left out.
    """
    first: dict[tuple[object, ...], Row] = {}
    repeats: list[Row] = []
    for row in rows:
        if first.setdefault(_identity(row), row) is not row:
            repeats.append(row)
    if not repeats:
        return list(rows), []
    said = f"{len(repeats)} rows repeat a sentence of the same group and labels (such as line {repeats[0].line})"
    return list(first.values()), [f"{said}: each counts once"]


def describe_overlap(path: Path, held_out: Sequence[Row], rows: Iterable[Row]) -> list[str]:
    """A sentence for the user if some rows of a file of held-out ones are to be learnt from too."""
    known = {text_key(row.text) for row in rows}
    both = [row for row in held_out if text_key(row.text) in known]
    if not both:
        return []
    share = f"{len(both)} of its {len(held_out)} sentences (such as line {both[0].line}) stand in DATA too"
    return [f"{path}: {share} and are known by heart: figures and threshold flatter; take them out of one of the two"]


def describe_differing_labels(rows: Iterable[Row]) -> list[str]:
    """A sentence for the user if some sentences stand in several rows, each with other labels."""
    by_key: dict[str, dict[tuple[object, ...], int]] = {}
    for row in rows:
        by_key.setdefault(text_key(row.text), {}).setdefault(_labels(row), row.line)
    differing = [list(lines.values()) for lines in by_key.values() if len(lines) > 1]
    if not differing:
        return []
    some = f"{len(differing)} sentences stand in several rows with different labels"
    such = f"(such as lines {', '.join(map(str, differing[0][:3]))})"
    return [f"{some} {such}: each row says that the others' do not apply; give all labels in one row, refund|card"]


def describe_contradictions(strangers: Iterable[str], rows: Iterable[Row]) -> list[str]:
    """A sentence for the user if some sentences of no group have one in other rows."""
    keys = {text_key(text) for text in strangers}
    both = [row for row in rows if text_key(row.text) in keys] if keys else []
    if not both:
        return []
    some = f"{len(both)} sentences of a group (such as line {both[0].line})"
    return [f"{some} are given as out of scope too, which contradicts it: keep each in one of both"]


def _identity(row: Row) -> tuple[object, ...]:
    return text_key(row.text), row.group, row.role, *_labels(row)


def _labels(row: Row) -> tuple[object, ...]:
    return row.labels, tuple(sorted(row.label_weights.items())), row.unknown_labels
