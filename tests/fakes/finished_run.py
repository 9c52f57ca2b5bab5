"""What a run leaves behind, made up: sentences, embeddings near their group's centre, decisions over them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.config import Config
from model.contract.dataset import Row
from model.contract.deciding.decision import Decision, GroupConfidence, Outcome
from model.data.training_data import TrainingData, index_labels
from model.evaluation.held_out import HeldOutAnswers

DIM = 16


def make_data(
    train: Sequence[tuple[str, str]],
    valid: Sequence[tuple[str, str]],
    out_of_scope: Sequence[str] = (),
    findings: Sequence[str] = (),
) -> TrainingData:
    """From (text, group) pairs."""
    rows = [Row(line=line, text=text, group=group) for line, (text, group) in enumerate([*train, *valid])]
    labels, indices = index_labels(rows[: len(train)])
    return TrainingData(
        rows[: len(train)], rows[len(train) :], list(out_of_scope), labels, indices, Config(), list(findings)
    )


def make_embeddings(groups: Sequence[str], rng: np.random.Generator, spread: float = 0.7) -> NDArray[np.float32]:
    """(n, DIM) unit rows about a random centre a group."""
    centres = {group: rng.standard_normal(DIM) for group in sorted(set(groups))}
    points = np.array([centres[group] for group in groups]) + spread * rng.standard_normal((len(groups), DIM))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)


def decided(group: str | None, score: float, confidence: float = 0.5) -> Decision:
    """A match with this group, or a refusal whose best group was `x`."""
    outcome = Outcome.MATCHED if group is not None else Outcome.NO_MATCH
    best = GroupConfidence(group=group or "x", confidence=confidence, score=score)
    return Decision(outcome=outcome, confidence=confidence, score=score, groups=(best,))


def make_answers(data: TrainingData, rng: np.random.Generator, *, head: bool = True) -> HeldOutAnswers:
    """Answers of an encoder that errs now and then."""
    groups = [row.group or "" for row in [*data.train, *data.valid]]
    embeddings = make_embeddings(groups, rng)
    decisions = []
    for row in data.valid:
        score, confidence = rng.uniform(0.2, 0.9), rng.uniform(0.1, 1.0)
        given = None if rng.random() < 0.3 else str(rng.choice([row.group or "", "x"]))
        decisions.append(decided(given, score, confidence))
    strangers = [decided(None if rng.random() < 0.7 else "x", rng.uniform(0, 0.6)) for _ in data.out_of_scope]
    cosines = rng.standard_normal((len(data.valid), len(data.labels))).astype(np.float32)
    return HeldOutAnswers(
        monitor="head_accuracy" if head else "knn1",
        embeddings=embeddings,
        decisions=tuple(decisions),
        strangers=tuple(strangers),
        head_labels=tuple(data.labels) if head else (),
        head_given=tuple(data.labels[label] for label in cosines.argmax(axis=1)) if head else (),
    )
