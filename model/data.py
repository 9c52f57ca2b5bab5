"""From files to what a run trains on and watches: groups, label indices, splits, and what is odd about the data."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.choices import settle
from model.config import Config, Objective, Split
from model.contract.dataset import DatasetFile, Row, count_groups, cross_group_duplicates, read_rows
from model.errors import TrainingError


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What one run sees.

    Attributes:
        train, valid: Rows with a group.
        out_of_scope: Texts that belong to no group, for thresholds.
        labels: Group of each label index, of the training rows.
        train_indices: (n_train,) int64 label index of each training row.
        config: The settings, with what they left to the data filled in.
        findings: Sentences for the user: what was chosen, what is odd.
        fingerprint: sha256 over all rows, order included.
    """

    train: list[Row]
    valid: list[Row]
    out_of_scope: list[str]
    labels: list[str]
    train_indices: NDArray[np.int64]
    config: Config
    findings: list[str] = field(default_factory=list)
    fingerprint: str = ""

    def with_held_out(self) -> "TrainingData":
        """The same data with the held-out rows among the training rows."""
        train = [*self.train, *self.valid]
        labels, indices = index_labels(train)
        return replace(self, train=train, valid=[], labels=labels, train_indices=indices)


def load_training_data(
    path: Path, valid_path: Path | None, out_of_scope_path: Path | None, config: Config, seed: int
) -> TrainingData:
    """Read, check, choose the objective and split.

    Without a validation file some of the rows are held out: whole groups for the in-batch objective, since it has to
    serve groups it never saw, and single rows for the head.

    Raises:
        DatasetError: A file cannot be used.
        TrainingError: Fewer than two groups, or no group with two sentences where pairs are needed.
    """
    file = read_rows(path, need=["group"])
    rows, stray = _with_group(file.rows)
    findings = _describe(file, rows, stray)
    config, choices = settle(config, list(count_groups(rows).values()), has_valid=valid_path is not None)
    findings.append(choices)
    if valid_path is not None:
        train, valid = rows, _with_group(read_rows(valid_path, need=["group"]).rows)[0]
    else:
        train, valid = split(rows, config, seed)
        kind = "groups" if config.split is Split.GROUPS else "rows"
        findings.append(
            f"held out {len(valid)} of {len(rows)} sentences (whole {kind}) to choose the checkpoint and the threshold"
        )
    labels, indices = index_labels(train)
    _check_trainable(train, labels, config.objective)
    others = (
        [row.text for row in read_rows(out_of_scope_path).rows] if out_of_scope_path else [row.text for row in stray]
    )
    return TrainingData(train, valid, others, labels, indices, config, findings, _fingerprint([*train, *valid]))


def index_labels(rows: list[Row]) -> tuple[list[str], NDArray[np.int64]]:
    """The groups in order of name, and the (n,) int64 index of each row's."""
    labels = sorted({row.group for row in rows if row.group})
    index_of = {label: index for index, label in enumerate(labels)}
    return labels, np.array([index_of[row.group or ""] for row in rows], np.int64)


def split(rows: list[Row], config: Config, seed: int) -> tuple[list[Row], list[Row]]:
    """Hold out rows, seeded: whole groups, or single rows of groups that keep two."""
    rng = np.random.default_rng((seed, 0x5117))
    wanted = min(config.most_valid, int(len(rows) * config.valid_share))
    order = [rows[number] for number in rng.permutation(len(rows))]
    if config.split is Split.GROUPS:
        sizes = count_groups(rows)
        held_groups: set[str | None] = set()
        held = 0
        for row in order:
            if held < wanted and row.group not in held_groups:
                held_groups.add(row.group)
                held += sizes[row.group or ""]
        return [row for row in rows if row.group not in held_groups], [row for row in rows if row.group in held_groups]
    left = count_groups(rows)
    held_lines: set[int] = set()
    for row in order:
        if len(held_lines) < wanted and left[row.group or ""] > 2:
            left[row.group or ""] -= 1
            held_lines.add(row.line)
    return [row for row in rows if row.line not in held_lines], [row for row in rows if row.line in held_lines]


def _with_group(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    return [row for row in rows if row.group is not None], [row for row in rows if row.group is None]


def _describe(file: DatasetFile, rows: list[Row], stray: list[Row]) -> list[str]:
    findings = [f"{file.path}: {len(rows)} sentences, {file.encoding}"]
    if stray:
        findings.append(f"{len(stray)} rows without a group count as out of scope")
    findings += [f"{file.path}: line {bad.line} left out: {bad.reason}" for bad in file.bad_rows[:10]]
    duplicates = cross_group_duplicates(rows)
    if duplicates:
        examples = [f"lines {', '.join(str(row.line) for row in same)}" for same in list(duplicates.values())[:3]]
        findings.append(
            f"{len(duplicates)} texts stand in more than one group ({'; '.join(examples)}): they cannot be told apart"
        )
    singles = sum(1 for size in count_groups(rows).values() if size == 1)
    if singles:
        findings.append(f"{singles} groups have one sentence only; give each at least two")
    return findings


def _check_trainable(train: list[Row], labels: list[str], objective: Objective) -> None:
    if len(labels) < 2:
        raise TrainingError(f"training needs at least two groups, found {len(labels)}: {labels}")
    if objective is Objective.IN_BATCH and sum(size > 1 for size in count_groups(train).values()) < 2:
        raise TrainingError(
            "the in-batch objective needs at least two groups of two sentences; add variants, or --set objective=head"
        )


def _fingerprint(rows: list[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.group}\t{row.text}\n".encode(errors="replace"))
    return digest.hexdigest()
