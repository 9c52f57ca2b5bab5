"""Judging without an encoder: rows, and answers to them made up."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.contract.bundle import Bundle, load_bundle
from model.contract.dataset import Row
from model.contract.deciding.decision import Decision, DecisionParameters, GroupConfidence, LabelConfidence, Outcome
from model.contract.keep_out import is_kept_out
from model.evaluation.neighbours import Nearest
from model.judging.answers import Answers
from model.judging.rows import OUT_OF_SCOPE, JudgedRows
from tests.fakes.tiny_bundle import make_tiny_bundle

SHARE = 0.3
TOPICS = ("refund my money", "reset the password", "opening hours of the shop", "delivery takes so long", "我要退款")


def make_rows(n: int = 60, *, strangers: int = 30, labels: bool = False) -> list[Row]:
    """n sentences, of TOPICS in turn, and some that are out of scope; `labels` in the place of groups."""
    rows = []
    for number in range(n):
        topic = TOPICS[number % len(TOPICS)]
        said = {"labels": (f"l{number % 5}",)} if labels else {"group": f"g{number % 5}"}
        rows.append(Row(line=number, id=f"r{number}", text=f"{topic} {number}", role="example", **said))  # type: ignore[arg-type]
    for number in range(strangers):
        text = f"weather {unicodedata.lookup('SNOWMAN')} tomorrow {number}"
        rows.append(Row(line=n + number, id=f"s{number}", text=text, role=OUT_OF_SCOPE))
    return rows


def tiny(folder: Path, **options: Any) -> Bundle:
    """A tiny bundle, loaded."""
    make_tiny_bundle(folder, **options)
    return load_bundle(folder)


def found(group: str | None, confidence: float = 0.9, outcome: Outcome = Outcome.MATCHED) -> Decision:
    """A decision for a group, or for none."""
    if group is None:
        return Decision(outcome=Outcome.NO_MATCH, confidence=confidence, score=0.1, groups=())
    groups = (GroupConfidence(group=group, confidence=confidence, score=0.8),)
    return Decision(outcome=outcome, confidence=confidence, score=0.8, groups=groups)


def labelled(*labels: str) -> Decision:
    """A decision for labels."""
    named = tuple(LabelConfidence(label=label, confidence=0.8) for label in labels)
    outcome = Outcome.MATCHED if labels else Outcome.NO_MATCH
    return Decision(outcome=outcome, confidence=0.8, score=0.5, groups=(), labels=named)


def answers(
    decisions: Sequence[Decision], nearest: Sequence[Sequence[int]] = (), refusals: Sequence[Decision] = ()
) -> Answers:
    """Made-up answers; `nearest` are numbers of stored rows, the first of them for each where none are given."""
    rows = np.array(nearest or [[0]] * len(decisions), np.int64).reshape(len(decisions), -1)
    return Answers(Nearest(rows, np.full(rows.shape, 0.9, np.float32)), list(decisions), list(refusals))


def judged(stored: Sequence[str | None], asked: Sequence[str], strangers: int = 0) -> JudgedRows:
    """Rows of these groups; stored ones have the ids s0, s1 ..., those that are asked a0, a1 ..."""
    return JudgedRows(
        [Row(line=n, id=f"s{n}", text=f"stored {n}", group=group) for n, group in enumerate(stored)],
        [Row(line=n, id=f"a{n}", text=f"asked {n}", group=group) for n, group in enumerate(asked)],
        [Row(line=n, id=f"x{n}", text=f"stranger {n}") for n in range(strangers)],
        0,
        False,
    )


def kept_out_ids(rows: Sequence[Row], share: float = SHARE) -> set[str]:
    """The ids of the rows that are kept out."""
    return {row.id or "" for row in rows if is_kept_out(row.text, share)}


PARAMETERS = DecisionParameters(threshold=0.3)
"""Under which a tiny bundle answers most sentences of TOPICS and refuses some strangers."""
