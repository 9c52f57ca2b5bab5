"""From files to what a run trains on and watches: groups or labels, splits, and what is odd about the data."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.config import Config, Objective, check_combinations, warnings_of
from model.contract.dataset import (
    EXAMPLE,
    DatasetFile,
    Row,
    count_groups,
    cross_group_duplicates,
    describe_bad_rows,
    read_rows,
)
from model.contract.keep_out import without_kept_out
from model.data.choices import FEWEST_STRANGERS, Kind, Shape, settle
from model.data.hold_out import hold_out
from model.data.label_targets import LabelTargets, label_targets
from model.data.repeats import describe_contradictions, describe_differing_labels, without_repeats
from model.data.unfit import describe_unfit
from model.data.unread import describe_unread
from model.errors import ConfigError, TrainingError


@dataclass(frozen=True, slots=True)
class Files:
    """Where the sentences of a run are.

    Attributes:
        data: Sentences with their groups or labels; those without a group belong to none.
        valid: Held-out ones; None to hold out some of `data`.
        out_of_scope: Sentences of no group, to choose the threshold by, as are those of `valid` without a group.
        unlabelled: Sentences without groups to learn from.
    """

    data: Path
    valid: Path | None = None
    out_of_scope: Path | None = None
    unlabelled: Path | None = None


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What one run sees.

    Attributes:
        train, valid: Rows with a group, or with labels, or with neither where sentences alone are learnt from.
        out_of_scope: Texts that belong to no group, for thresholds.
        outliers: Texts that belong to no group, to learn from.
        unlabelled: Texts whose group nobody knows, to learn from.
        labels: Group, or label, of each label index, of the training rows.
        train_indices: (n_train,) int64 label index of each training row; 0 where rows have no group.
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
    outliers: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)

    def with_held_out(self) -> "TrainingData":
        """The same data with the held-out rows among the training rows."""
        train = [*self.train, *self.valid]
        labels, indices = index_labels(train, self.config.objective)
        return replace(self, train=train, valid=[], labels=labels, train_indices=indices)

    def looked_up(self) -> list[Row]:
        """The training rows among which held-out ones look for their group: none where nobody knows theirs."""
        return [] if self.config.objective is Objective.SIM_CSE else self.train

    def texts(self) -> list[str]:
        """All that is learnt from: training rows, then unlabelled texts, then outliers."""
        return [*(row.text for row in self.train), *self.unlabelled, *self.outliers]

    @property
    def unlabelled_rows(self) -> NDArray[np.int64]:
        """Where the unlabelled texts stand in `texts`."""
        return np.arange(len(self.train), len(self.train) + len(self.unlabelled))

    @property
    def outlier_rows(self) -> NDArray[np.int64]:
        """Where the outliers stand in `texts`."""
        begin = len(self.train) + len(self.unlabelled)
        return np.arange(begin, begin + len(self.outliers))

    @property
    def label_targets(self) -> LabelTargets:
        """Which labels the training rows have."""
        return label_targets(self.train, self.labels)


def load_training_data(files: Files, config: Config, seed: int) -> TrainingData:
    """Read, check, choose the objective and split.

    Without a validation file some of the rows are held out: whole groups for the in-batch objective, since it has to
    serve groups it never saw, and single rows otherwise.

    Raises:
        DatasetError: A file cannot be used.
        ConfigError: Settings that do not fit each other or the data.
        TrainingError: Fewer than two groups, or no group with two sentences where pairs are needed.
    """
    whole = read_rows(files.data)
    learnt = without_kept_out(whole.rows, config.keep_out)
    n_kept_out = len(whole.rows) - len(learnt)
    once, repeats = without_repeats(learnt)
    file = replace(whole, rows=once)
    kind = _kind(file, config)
    rows, stray = _with_group(file.rows) if kind is Kind.GROUPS else (file.rows, [])
    sizes = list(_sizes(rows, kind).values())
    given = config.model_fields_set
    settled, choice = settle(config, Shape(kind, sizes, len(rows), len(stray)), has_valid=files.valid is not None)
    check_combinations(settled)
    findings = [*_describe(file, rows, stray, kind), *repeats, choice, *warnings_of(settled, given)]
    has_strangers = bool(stray) or files.out_of_scope is not None
    parted = hold_out(rows, files.valid, settled, seed, kind, has_strangers=has_strangers)
    train, valid = parted.train, parted.valid
    findings += parted.findings
    findings += describe_unread(rows, settled)
    if n_kept_out:
        findings.append(f"{n_kept_out} sentences are kept out (keep_out={settled.keep_out}): to judge it by later")
    findings += [
        f"{name} has no effect: nothing is held out" for name in ("monitor", "patience") if name in given and not valid
    ]
    labels, indices = index_labels(train, settled.objective)
    _check_trainable(train, labels, settled, [*_left_out(file), *repeats])
    outliers, strangers = _share_strangers(files, stray, parted.strangers, settled, seed, findings)
    if kind is Kind.GROUPS:
        findings += describe_contradictions([*outliers, *strangers], rows)
    if strangers and (not valid or kind is Kind.LABELS):
        findings.append(_describe_idle(strangers, kind))
    unlabelled = _read_unlabelled(files, settled, findings)
    fingerprint = _fingerprint([train, valid], [unlabelled, outliers])
    return TrainingData(train, valid, strangers, labels, indices, settled, findings, fingerprint, outliers, unlabelled)


def index_labels(rows: Sequence[Row], objective: Objective = Objective.HEAD) -> tuple[list[str], NDArray[np.int64]]:
    """The groups (or labels) in order of name, and the (n,) int64 index of each row's group."""
    if not objective.has_groups:
        return sorted({label for row in rows for label in (*row.labels, *row.label_weights)}), np.zeros(
            len(rows), np.int64
        )
    labels = sorted({row.group for row in rows if row.group})
    index_of = {label: index for index, label in enumerate(labels)}
    return labels, np.array([index_of[row.group or ""] for row in rows], np.int64)


def _share_strangers(
    files: Files, stray: list[Row], held_out: list[str], config: Config, seed: int, findings: list[str]
) -> tuple[list[str], list[str]]:
    """Texts of no group to learn from, and those to choose the threshold by: never the same."""
    texts = [row.text for row in stray]
    given = [*held_out, *(_read_texts(files.out_of_scope, config, findings) if files.out_of_scope else [])]
    if not config.exposes_outliers:
        return [], given or texts
    if given or not texts:
        if not texts and not config.synthetic_outliers:
            raise _no_outliers()
        return texts, given
    if len(texts) < FEWEST_STRANGERS and config.synthetic_outliers:
        return [], texts
    if len(texts) < 2:
        raise _no_outliers()
    order = np.random.default_rng((seed, 0x00D)).permutation(len(texts))
    half = len(texts) // 2
    findings.append(f"of {len(texts)} out-of-scope sentences {half} are learnt from, the others choose the threshold")
    return [texts[number] for number in order[:half]], [texts[number] for number in order[half:]]


def _no_outliers() -> ConfigError:
    return ConfigError(
        "outlier_exposure_weight without synthetic_outliers needs sentences of no group to learn from: rows of DATA with "
        "an empty group, two at least where none are given to choose the threshold by"
    )


def _describe_idle(strangers: list[str], kind: Kind) -> str:
    several = "with several labels a sentence, one without any teaches the same: put them into DATA with labels none"
    alone = "there are no held-out rows to choose a threshold with; --valid FILE would do"
    return f"{len(strangers)} out-of-scope sentences have no effect: {several if kind is Kind.LABELS else alone}"


def _read_unlabelled(files: Files, config: Config, findings: list[str]) -> list[str]:
    weighted = config.uses("rdrop_unlabelled_weight")
    if files.unlabelled is None:
        if weighted:
            raise ConfigError("rdrop_unlabelled_weight is set, but no --unlabelled FILE is given")
        return []
    texts = _read_texts(files.unlabelled, config, findings)
    if not weighted and config.objective is not Objective.SIM_CSE:
        findings.append(
            f"{files.unlabelled}: {len(texts)} sentences, not learnt from: --set rdrop_unlabelled_weight=4 would"
        )
        return []
    findings.append(f"{files.unlabelled}: {len(texts)} sentences to learn from")
    return texts


def _read_texts(path: Path, config: Config, findings: list[str]) -> list[str]:
    file = read_rows(path)
    findings += describe_bad_rows(file)
    return [row.text for row in without_kept_out(file.rows, config.keep_out)]


def _kind(file: DatasetFile, config: Config) -> Kind:
    """What the file says of each sentence, unless the objective asks for something else.

    Raises:
        ConfigError: It does not say what the objective needs.
    """
    if config.objective is Objective.SIM_CSE:
        return Kind.SENTENCES
    has_groups, has_labels = any(row.group for row in file.rows), any(row.likely_labels for row in file.rows)
    if config.objective is Objective.MULTI_LABEL and not has_labels:
        raise ConfigError(f"objective=multi_label, but {file.path} has no column labels, or it is empty")
    if has_groups and config.objective is not Objective.MULTI_LABEL:
        return Kind.GROUPS
    if has_labels and not config.objective.has_groups:
        return Kind.LABELS
    raise ConfigError(
        f"{file.path} has neither a column group (or label) nor labels with anything in it; "
        "to learn from sentences alone, --set objective=sim_cse"
    )


def _sizes(rows: list[Row], kind: Kind) -> Counter[str]:
    if kind is Kind.LABELS:
        return Counter(label for row in rows for label in row.likely_labels)
    return count_groups(rows)


def _with_group(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows with a group, and those out of scope: without one, unless they are said to be examples."""
    stray = [row for row in rows if row.group is None and row.role != EXAMPLE]
    return [row for row in rows if row.group is not None], stray


def _describe(file: DatasetFile, rows: list[Row], stray: list[Row], kind: Kind) -> list[str]:
    findings = [f"{file.path}: {len(rows)} sentences, {file.encoding}"]
    if stray:
        findings.append(f"{len(stray)} rows without a group count as out of scope")
    findings += describe_bad_rows(file)
    findings += _describe_unused(rows, kind)
    sizes = _sizes(rows, kind)
    findings += describe_unfit(sizes, "label" if kind is Kind.LABELS else "group")
    singles = [name for name, size in sizes.items() if size == 1]
    if kind is Kind.LABELS and singles:
        findings.append(f"{len(singles)} labels have one sentence only, such as {singles[0]!r}; give each at least two")
    if kind is Kind.LABELS:
        findings += describe_differing_labels(rows)
    if kind is not Kind.GROUPS:
        return findings
    duplicates = cross_group_duplicates(rows)
    if duplicates:
        examples = [f"lines {', '.join(str(row.line) for row in same)}" for same in list(duplicates.values())[:3]]
        findings.append(
            f"{len(duplicates)} texts stand in more than one group ({'; '.join(examples)}): they cannot be told apart"
        )
    if singles:
        findings.append(f"groups of one sentence only: {len(singles)}; give each at least two")
    return findings


def _describe_unused(rows: list[Row], kind: Kind) -> list[str]:
    unused = []
    if kind is not Kind.GROUPS and any(row.group for row in rows):
        unused.append("the groups of DATA are not learnt from: --set objective=head, in_batch or joint would")
    if kind is not Kind.LABELS and any(row.likely_labels for row in rows):
        unused.append("the labels of DATA are not learnt from: --set objective=multi_label would")
    return unused


def _check_trainable(train: list[Row], labels: list[str], config: Config, left_out: list[str]) -> None:
    if config.objective is Objective.SIM_CSE:
        if len(train) < 2:
            raise TrainingError("; ".join([f"training needs at least two sentences, found {len(train)}", *left_out]))
        return
    if len(labels) < 2:
        what = "label" if config.objective is Objective.MULTI_LABEL else "group"
        found = f"training needs at least two {what}s, found {len(labels)}: {labels}"
        raise TrainingError("; ".join([found, *left_out, f"add sentences of another {what}"]))
    if config.objective.has_pairs and sum(size > 1 for size in count_groups(train).values()) < 2:
        raise TrainingError(
            f"objective {config.objective} learns from pairs: it needs at least two groups of two sentences; "
            + "; ".join([*left_out, "add variants, or --set objective=head"])
        )


def _left_out(file: DatasetFile) -> list[str]:
    """What to say of the lines that are missing where too little is left: findings are said of what can be trained."""
    bad = file.bad_rows
    return [f"{len(bad)} lines were left out (such as line {bad[0].line}: {bad[0].reason})"] if bad else []


def _fingerprint(rows: Iterable[Sequence[Row]], texts: Iterable[Sequence[str]]) -> str:
    """Of every part and of where each ends: a row that is held out is another run than one that is learnt from."""
    digest = hashlib.sha256()
    for part in rows:
        digest.update(f"{len(part)}\n".encode())
        for row in part:
            labels = (row.labels, sorted(row.label_weights.items()), row.unknown_labels)
            digest.update(f"{row.group}\t{labels}\t{row.text}\n".encode(errors="replace"))
    for more in texts:
        digest.update("\n".join([str(len(more)), *more, ""]).encode(errors="replace"))
    return digest.hexdigest()
