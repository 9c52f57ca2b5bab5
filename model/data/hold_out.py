"""Which rows are held out: the user's own, as far as they can be measured, or some of the training file."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.config import Config, Objective, Split
from model.contract.dataset import EXAMPLE, Row, count_groups, describe_bad_rows, read_rows
from model.contract.deciding.decision import DecisionParameters
from model.contract.keep_out import without_kept_out
from model.data.choices import Kind
from model.data.repeats import describe_overlap, without_repeats
from model.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Parted:
    """Rows of a run.

    Attributes:
        train, valid: To learn from, and held out.
        strangers: Texts of no group that the user's held-out file has, to choose the threshold by.
        findings: Sentences for the user on what was done.
    """

    train: list[Row]
    valid: list[Row]
    strangers: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def hold_out(
    rows: list[Row], valid_file: Path | None, config: Config, seed: int, kind: Kind, *, has_strangers: bool = False
) -> Parted:
    """Part the rows to learn from and the held-out ones.

    Args:
        rows: Of the training file.
        valid_file: With the user's held-out rows; None to take some of `rows`.
        config: With its objective settled.
        seed: Draws the rows.
        kind: What the rows say of each sentence.
        has_strangers: Whether there are sentences of no group, which only held-out rows can choose a threshold with.

    Raises:
        DatasetError: The file cannot be used.
        TrainingError: No row of the file can be measured.
    """
    if valid_file is not None:
        return _read_held_out(valid_file, rows, config, kind)
    if config.objective is Objective.SIM_CSE:
        said = "nothing is held out: sentences alone cannot tell which encoder is best; --valid FILE would"
        return Parted(rows, [], findings=[said])
    train, valid = split(rows, config, seed, has_strangers=has_strangers)
    whole = "groups" if config.split is Split.GROUPS and kind is Kind.GROUPS else "rows"
    if not valid:
        fewer = "no three groups with two" if whole == "groups" else "no group with three"
        said = f"nothing is held out: too few sentences, or {fewer}; --valid FILE would measure the run"
        if kind is Kind.GROUPS:
            said += f" and choose the threshold, which stays at {DecisionParameters().threshold}"
        return Parted(train, [], findings=[said])
    said = f"held out {len(valid)} of {len(rows)} sentences (whole {whole}) to choose the checkpoint and the threshold"
    return Parted(train, valid, findings=[said])


def split(
    rows: list[Row], config: Config, seed: int, *, has_strangers: bool = False
) -> tuple[list[Row], list[Row]]:
    """Hold out rows, seeded: whole groups of two or more, or single rows of groups that keep two.

    Where there are strangers, no group has three and a refit will learn from all rows, groups keep one.
    """
    rng = np.random.default_rng((seed, 0x5117))
    wanted = min(config.most_valid, int(len(rows) * config.valid_share))
    order = [rows[number] for number in rng.permutation(len(rows))]
    if config.objective is Objective.MULTI_LABEL:
        held_lines = {row.line for row in order[:wanted]}
    elif config.split is Split.GROUPS:
        held_lines = _held_groups(order, wanted)
    else:
        held_lines = _held_rows(order, wanted, least=2)
        if not held_lines and has_strangers and config.refit:
            # two groups keep their pair: without any there is nothing to learn from pairs
            held_lines = _held_rows(order, min(wanted, len(count_groups(rows)) - 2), least=1)
    return [row for row in rows if row.line not in held_lines], [row for row in rows if row.line in held_lines]


def _held_groups(order: list[Row], wanted: int) -> set[int]:
    """Whole groups, of two sentences or more, since one alone has no answer; two such groups stay to be learnt from.

    No more rows than are wanted, or the smallest group: a large one held out would leave little.
    """
    sizes = count_groups(order)
    drawn = [group for group in dict.fromkeys(row.group for row in order) if group is not None and sizes[group] > 1]
    room = max(wanted, min((sizes[group] for group in drawn), default=0)) if wanted else 0
    held: set[str | None] = set()
    for group in drawn:
        if sizes[group] <= room and len(held) < len(drawn) - 2:
            held.add(group)
            room -= sizes[group]
    return {row.line for row in order if row.group in held}


def _held_rows(order: list[Row], wanted: int, *, least: int) -> set[int]:
    """Single rows of groups that keep `least`."""
    left = count_groups(order)
    lines: set[int] = set()
    for row in order:
        if len(lines) < wanted and left[row.group or ""] > least:
            left[row.group or ""] -= 1
            lines.add(row.line)
    return lines


def _read_held_out(path: Path, rows: list[Row], config: Config, kind: Kind) -> Parted:
    """The user's held-out rows, as far as they can be measured, and what is odd about them.

    Raises:
        TrainingError: None can.
    """
    file = read_rows(path)
    held, repeats = without_repeats(without_kept_out(file.rows, config.keep_out))
    findings = [*describe_bad_rows(file), *(f"{path}: {repeated}" for repeated in repeats)]
    if kind is Kind.LABELS:
        findings += [*_check_labels(path, held, rows), *describe_overlap(path, held, rows)]
        return Parted(rows, held, findings=findings)
    valid = [row for row in held if row.group is not None]
    strangers = [row.text for row in held if row.group is None and row.role != EXAMPLE]
    if strangers:
        findings.append(f"{path}: {len(strangers)} rows without a group count as out of scope")
    findings += [*_check_groups(path, valid, rows, config.objective), *describe_overlap(path, valid, rows)]
    return Parted(rows, valid, strangers, findings)


def _check_labels(path: Path, valid: list[Row], rows: list[Row]) -> list[str]:
    names, trained = ({name for row in part for name in row.likely_labels} for part in (valid, rows))
    if not names:
        raise TrainingError(f"{path}: no row has a label; held-out rows need one to be measured")
    unknown = sorted(names - trained)
    if len(unknown) == len(names):
        raise TrainingError(f"{path}: none of its labels is trained on, such as {unknown[0]!r}; is it the right file?")
    return [f"{path}: {_share('labels', unknown, names)} are not trained on and count as missed"] if unknown else []


def _check_groups(path: Path, valid: list[Row], rows: list[Row], objective: Objective) -> list[str]:
    sizes = count_groups(valid)
    if not sizes:
        raise TrainingError(f"{path}: no row has a group; held-out rows need one to be measured")
    trained = {row.group for row in rows} if objective.has_groups else set()
    unknown = sorted(sizes.keys() - trained)
    unseen = 2 * sum(sizes[group] for group in unknown) >= len(valid)  # as evaluation/held_out.py has it
    if unseen and max(sizes.values()) < 2:
        raise TrainingError(
            f"{path}: its groups, such as {unknown[0]!r}, are not trained on, so that its sentences are retrieved "
            "among themselves; give some group two"
        )
    if not unknown or not objective.has_groups:
        return []
    besides = ", and the class vectors are not measured" if objective.has_class_vectors else ""
    how = f"retrieved among themselves{besides}"
    if len(unknown) == len(sizes):
        return [f"{path}: none of its groups is trained on: they are {how}"]
    outcome = f"all sentences are {how}" if unseen else "they count as wrong"
    return [f"{path}: {_share('groups', unknown, sizes)} are not trained on: {outcome}"]


def _share(what: str, some: Sequence[str], names: Collection[str]) -> str:
    return f"{len(some)} of its {len(names)} {what} (such as {some[0]!r})"
