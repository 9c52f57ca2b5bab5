"""The rows of a collection, parted as a release is judged: those that are stored, and those that ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.contract.dataset import OUT_OF_SCOPE, Row, read_rows
from model.contract.keep_out import is_kept_out


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """What is looked up, and what is asked.

    Attributes:
        stored: Examples that are not kept out; they may have no group.
        asked: Kept-out examples whose group, if labels do not count, has a stored one.
        strangers: Kept-out sentences out of scope.
        n_left_out: Kept-out examples that cannot be asked: nothing that is stored could be their answer.
        of_labels: Whether labels count and not groups, as where no row has a group.
    """

    stored: list[Row]
    asked: list[Row]
    strangers: list[Row]
    n_left_out: int
    of_labels: bool


def read_judged(path: Path, share: float) -> JudgedRows:
    """Read the rows of a collection and part them.

    Args:
        path: NDJSON with id, text, group, labels and role, as a service writes its records.
        share: Of the sentences that no training learns from.
    """
    return part(read_rows(path).rows, share)


def part(rows: Sequence[Row], share: float) -> JudgedRows:
    """Part rows that were read."""
    examples = [row for row in rows if row.role != OUT_OF_SCOPE]
    of_labels = not any(row.group for row in examples) and any(row.likely_labels for row in examples)
    stored = [row for row in examples if not is_kept_out(row.text, share)]
    kept_out = [row for row in examples if is_kept_out(row.text, share)]
    known = {row.group for row in stored}
    asked = [row for row in kept_out if of_labels or (row.group is not None and row.group in known)]
    strangers = [row for row in rows if row.role == OUT_OF_SCOPE and is_kept_out(row.text, share)]
    return JudgedRows(stored, asked, strangers, len(kept_out) - len(asked), of_labels)
