"""From files to training data: splits, out-of-scope and unlabelled sentences, and what is odd."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from model.config import Config, Objective, Split, make_config
from model.contract.dataset import Row
from model.contract.errors import DatasetError
from model.data.hold_out import split
from model.data.training_data import Files, load_training_data
from model.errors import ConfigError, TrainingError


def rows_of(sizes: list[int]) -> list[Row]:
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    return [Row(line=line, text=f"text {line}", group=group) for line, group in enumerate(groups, start=2)]


def write(tmp_path: Path, content: str, name: str = "a.tsv") -> Path:
    path = tmp_path / name
    path.write_text(content)
    return path


BODY = "group\ttext\n" + "".join(f"g{number}\tsentence {number} {copy}\n" for number in range(4) for copy in range(12))


def test_a_split_by_group_keeps_groups_whole_and_one_by_row_keeps_two() -> None:
    rows = rows_of([5] * 40)
    train, valid = split(rows, Config(split=Split.GROUPS), seed=1)
    assert {row.group for row in train}.isdisjoint({row.group for row in valid})
    assert len(train) + len(valid) == 200
    assert 20 <= len(valid) < 25
    train, valid = split(rows_of([2] * 10 + [30]), Config(split=Split.ROWS), seed=1)
    assert {row.group for row in valid} == {"g10"}
    assert len(valid) == 5


@pytest.mark.parametrize("seed", range(4))
def test_whole_groups_that_are_held_out_leave_enough_and_have_answers(seed: int) -> None:
    config = Config(split=Split.GROUPS)
    sizes = [2] * 50 + [1] * 60 + [400]
    train, valid = split(rows_of(sizes), config, seed)
    held = Counter(row.group for row in valid)
    assert set(held.values()) == {2}
    assert len(valid) == int(0.1 * sum(sizes))
    assert {row.group for row in train}.isdisjoint(held)
    for few, n_held in (([9] * 3, 1), ([9, 9, 1, 1], 0), ([1] * 40, 0), ([20] * 5, 1)):
        train, valid = split(rows_of(few), config, seed)
        assert len({row.group for row in valid}) == n_held
        assert len(train) + len(valid) == sum(few)


def test_strangers_have_held_out_rows_beside_them_where_groups_have_two(tmp_path: Path) -> None:
    path = write(tmp_path, "group\ttext\n" + "".join(f"g{n % 20}\tsentence {n}\n" for n in range(40)))
    strangers = write(tmp_path, "text\nz\n", "oos.tsv")
    assert load_training_data(Files(path), Config(), seed=0).valid == []
    data = load_training_data(Files(path, out_of_scope=strangers), Config(), seed=0)
    assert len(data.valid) == 4
    assert {row.group for row in data.train} == {f"g{n}" for n in range(20)}
    given = make_config("default", ["valid_share=0.9"])
    assert len(load_training_data(Files(path, out_of_scope=strangers), given, seed=0).valid) == 18
    kept = make_config("default", ["refit=false"])
    data = load_training_data(Files(path, out_of_scope=strangers), kept, seed=0)
    assert data.valid == []
    assert "1 out-of-scope sentences have no effect: there are no held-out rows" in "\n".join(data.findings)
    labelled = write(tmp_path, "text\tlabels\n" + "".join(f"t {n}\t{'ab'[n % 2]}\n" for n in range(40)), "l.tsv")
    data = load_training_data(Files(labelled, out_of_scope=strangers), Config(), seed=0)
    assert "1 out-of-scope sentences have no effect: with several labels" in "\n".join(data.findings)


def test_the_split_is_seeded() -> None:
    rows = rows_of([5] * 40)
    first, again, other = (split(rows, Config(split=Split.ROWS), seed=seed)[1] for seed in (3, 3, 4))
    assert first == again != other


def test_what_is_odd_about_the_data_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, f"{BODY}g1\tsame\ng2\tSame!\nlonely\tonly one\n\tno group\ng1\n")
    data = load_training_data(Files(path), Config(), seed=0)
    said = "\n".join(data.findings)
    assert "1 texts stand in more than one group (lines 50, 51)" in said
    assert "groups of one sentence only: 1" in said
    assert "1 rows without a group count as out of scope" in said
    assert "line 54 left out: 1 cells where the header has 2" in said
    assert data.out_of_scope == ["no group"]
    assert [data.labels[index] for index in data.train_indices] == [row.group for row in data.train]


def test_a_sentence_out_of_scope_is_not_taught_to_the_group_beside_it(tmp_path: Path) -> None:
    body = "".join(f"{line}\texample\n" for line in BODY.splitlines()[1:])
    path = write(tmp_path, f"group\ttext\trole\n{body}g1\tcapital of France\tout_of_scope\n")
    data = load_training_data(Files(path), Config(), seed=0)
    assert data.out_of_scope == ["capital of France"]
    assert "capital of France" not in {row.text for row in (*data.train, *data.valid)}


def test_held_out_rows_of_no_group_choose_the_threshold(tmp_path: Path) -> None:
    path = write(tmp_path, f"{BODY}\tlearnt from, or not\n")
    valid = write(tmp_path, "group\ttext\ng1\tnew\n\tweather\n\t\n", "v.tsv")
    strangers = write(tmp_path, "text\nmoon\na\tb\n", "o.tsv")
    data = load_training_data(Files(path, valid), Config(), seed=0)
    assert ([row.text for row in data.valid], data.out_of_scope) == (["new"], ["weather"])
    said = "\n".join(data.findings)
    assert f"{valid}: 1 rows without a group count as out of scope" in said
    assert f"{valid}: line 4 left out: text is empty" in said
    data = load_training_data(Files(path, valid, strangers), Config(), seed=0)
    assert data.out_of_scope == ["weather", "moon"]
    assert f"{strangers}: line 3 left out: 2 cells where the header has 1" in data.findings


def test_one_group_is_no_training_set(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at least two groups, found 1: \['g'\]"):
        load_training_data(Files(write(tmp_path, "group\ttext\ng\ta\ng\tb\ng\tc\n")), Config(), seed=0)
    with pytest.raises(ConfigError, match=r"neither a column group .* --set objective=sim_cse"):
        load_training_data(Files(write(tmp_path, "text\na\nb\n")), Config(), seed=0)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("g\ta\ng\tb\n", r"two groups, found 1: \['g'\]; 9 lines were left out .* add sentences"),
        ("g\ta\nh\tb\n", "two groups of two sentences; 9 lines were left out .* add variants"),
    ],
)
def test_a_refusal_says_what_was_left_out(tmp_path: Path, kept: str, message: str) -> None:
    path = write(tmp_path, "group\ttext\n" + kept + "h\t\n" * 9)
    with pytest.raises(TrainingError, match=message) as refused:
        load_training_data(Files(path), Config(), seed=0)
    assert "(such as line 4: text is empty)" in str(refused.value)


def test_groups_of_one_cannot_be_paired(tmp_path: Path) -> None:
    path = write(tmp_path, "group\ttext\n" + "".join(f"g{n}\tsentence {n}\n" for n in range(9)))
    for objective in ("in_batch", "joint"):
        with pytest.raises(TrainingError, match=f"{objective} learns from pairs: .* two sentences; add variants"):
            load_training_data(Files(path), make_config("default", [f"objective={objective}"]), seed=0)
    given = ["objective=head", "monitor=knn1", "patience=2"]
    data = load_training_data(Files(path), make_config("default", given), seed=0)
    said = "\n".join(data.findings)
    assert "groups of one sentence only: 9" in said
    assert "nothing is held out: too few sentences, or no group with three" in said
    assert "would measure the run and choose the threshold, which stays at 0.6" in said
    assert "monitor has no effect: nothing is held out\npatience has no effect" in said
    two = write(tmp_path, "group\ttext\n" + "".join(f"g{n % 2}\tsentence {n}\n" for n in range(30)), "two.tsv")
    data = load_training_data(Files(two), make_config("default", ["objective=in_batch"]), seed=0)
    assert "nothing is held out: too few sentences, or no three groups with two;" in "\n".join(data.findings)


def test_sentences_alone_are_enough_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "text\na\nb\nc\n")
    data = load_training_data(Files(path), make_config("default", ["objective=sim_cse"]), seed=0)
    assert ([row.text for row in data.train], data.valid, data.labels) == (["a", "b", "c"], [], [])
    assert "nothing is held out" in "\n".join(data.findings)


def test_a_column_of_labels_makes_it_multi_label(tmp_path: Path) -> None:
    body = "".join(f"text {n}\t{'a|b' if n % 2 else 'c'}\n" for n in range(40)) + "nothing\tnone\n"
    data = load_training_data(Files(write(tmp_path, "text\tlabels\n" + body)), Config(), seed=0)
    assert data.config.objective is Objective.MULTI_LABEL
    assert data.labels == ["a", "b", "c"]
    assert len(data.train) + len(data.valid) == 41
    for row, values in zip(data.train, data.label_targets.values, strict=True):
        assert {data.labels[n] for n in np.flatnonzero(values)} == set(row.labels)
    with pytest.raises(ConfigError, match="no column labels"):
        load_training_data(Files(write(tmp_path, BODY, "b.tsv")), Config(objective=Objective.MULTI_LABEL), seed=0)


def test_soft_and_unknown_labels_become_numbers(tmp_path: Path) -> None:
    body = "".join(f"t {n}\t{'a|b' if n % 2 else 'c'}\n" for n in range(40)) + "soft\ta=0.7|?c\n"
    path, valid = write(tmp_path, "text\tlabels\n" + body), write(tmp_path, "text\tlabels\nx\ta\n", "v.tsv")
    data = load_training_data(Files(path, valid), Config(), seed=0)
    np.testing.assert_allclose(data.label_targets.values[-1], [0.7, 0, 0])
    np.testing.assert_array_equal(data.label_targets.known[-1], [True, True, False])


def test_held_out_groups_that_training_never_saw_are_said(tmp_path: Path) -> None:
    valid = write(tmp_path, "group\ttext\nother\tx\nother\ty\n", "v.tsv")
    data = load_training_data(Files(write(tmp_path, BODY), valid), Config(), seed=0)
    assert "none of its groups is trained on" in "\n".join(data.findings)
    with pytest.raises(TrainingError, match="no row has a group"):
        load_training_data(Files(write(tmp_path, BODY), write(tmp_path, "text\nx\n", "w.tsv")), Config(), seed=0)
    for own, outcome in ((2, "all sentences are retrieved among themselves"), (3, "they count as wrong")):
        known = "".join(f"g1\tz{number}\n" for number in range(own))
        valid = write(tmp_path, f"group\ttext\nother\tx\nother\ty\n{known}", "v.tsv")
        data = load_training_data(Files(write(tmp_path, BODY), valid), Config(), seed=0)
        assert f"1 of its 2 groups (such as 'other') are not trained on: {outcome}" in "\n".join(data.findings)


@pytest.mark.parametrize("objective", ["head", "sim_cse"])
def test_unseen_groups_of_one_cannot_be_retrieved(tmp_path: Path, objective: str) -> None:
    files = Files(write(tmp_path, BODY), write(tmp_path, "group\ttext\nother\tx\nanother\ty\n", "v.tsv"))
    with pytest.raises(TrainingError, match=r"'another', are not trained on, .* give some group two"):
        load_training_data(files, make_config("default", [f"objective={objective}"]), seed=0)


def test_held_out_labels_that_training_never_saw_are_said(tmp_path: Path) -> None:
    path = write(
        tmp_path, "text\tlabels\n" + "".join(f"t {n}\t{'a' if n % 2 else 'b'}\n" for n in range(9)) + "x\tc=d\n"
    )
    data = load_training_data(Files(path, write(tmp_path, "text\tlabels\nx\ta|z\n", "v.tsv")), Config(), seed=0)
    said = "\n".join(data.findings)
    assert "1 of its 2 labels (such as 'z') are not trained on and count as missed" in said
    assert "1 labels have one sentence only, such as 'c=d'" in said
    for content, message in [
        ("text\tlabels\nx\tz\n", "none of its labels is trained on, such as 'z'"),
        ("group\ttext\na\tx\n", "no row has a label"),
    ]:
        with pytest.raises(TrainingError, match=message):
            load_training_data(Files(path, write(tmp_path, content, "w.tsv")), Config(), seed=0)


def test_what_a_file_says_beside_what_is_learnt_is_said(tmp_path: Path) -> None:
    body = "".join(f"g{n % 2}\t{'a' if n % 3 else 'b'}\tt {n}\n" for n in range(20))
    path = write(tmp_path, f"group\tlabels\ttext\n{body}")
    for objective, unused in [
        ("head", ["labels"]),
        ("multi_label", ["groups"]),
        ("sim_cse", ["groups", "labels"]),
    ]:
        data = load_training_data(Files(path), make_config("default", [f"objective={objective}"]), seed=0)
        said = [finding for finding in data.findings if "not learnt from" in finding]
        assert [finding.split()[1] for finding in said] == unused
    assert "objective sim_cse, as set (20 sentences, whose groups are not asked for)" in data.findings[3]


def test_out_of_scope_sentences_are_never_both_learnt_from_and_decided_by(tmp_path: Path) -> None:
    strangers = sorted(f"stranger {n}" for n in range(20))
    path = write(tmp_path, BODY + "".join(f"\t{text}\n" for text in strangers))
    exposed = Config(outlier_exposure_weight=0.5)
    halves = load_training_data(Files(path), exposed, seed=0)
    assert sorted([*halves.outliers, *halves.out_of_scope]) == strangers
    assert len(halves.outliers) == 10
    few = write(tmp_path, BODY + "\tone stranger\n", "few.tsv")
    assert load_training_data(Files(few), exposed, seed=0).out_of_scope == ["one stranger"]
    given = write(tmp_path, "text\nz\n", "oos.tsv")
    both = load_training_data(Files(path, out_of_scope=given), exposed, seed=0)
    assert (both.outliers, both.out_of_scope) == (strangers, ["z"])
    assert [both.texts()[row] for row in both.outlier_rows] == strangers
    off = make_config("default", ["outlier_exposure_weight=0"])
    assert load_training_data(Files(path), off, seed=0).outliers == []
    real_only = make_config("default", ["outlier_exposure_weight=1", "synthetic_outliers=false"])
    with pytest.raises(ConfigError, match="needs sentences of no group"):
        load_training_data(Files(write(tmp_path, BODY, "plain.tsv")), real_only, seed=0)


def test_unlabelled_sentences_are_learnt_from_only_when_asked(tmp_path: Path) -> None:
    path, more = write(tmp_path, BODY), write(tmp_path, "text\nu1\nu2\n", "u.tsv")
    asked = load_training_data(Files(path, unlabelled=more), Config(rdrop_unlabelled_weight=1), seed=0)
    assert [asked.texts()[row] for row in asked.unlabelled_rows] == ["u1", "u2"]
    idle = load_training_data(Files(path, unlabelled=more), Config(), seed=0)
    assert idle.unlabelled == []
    assert "--set rdrop_unlabelled_weight=4 would" in "\n".join(idle.findings)
    with pytest.raises(ConfigError, match="no --unlabelled FILE"):
        load_training_data(Files(path), Config(rdrop_unlabelled_weight=1), seed=0)
    with pytest.raises(DatasetError, match="holds no usable row"):
        empty = write(tmp_path, "text\n", "empty.tsv")
        load_training_data(Files(path, unlabelled=empty), Config(rdrop_unlabelled_weight=1), seed=0)


def test_the_fingerprint_follows_every_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, BODY)
    first = load_training_data(Files(path), Config(), seed=0).fingerprint
    assert load_training_data(Files(path), Config(), seed=0).fingerprint == first
    other = write(tmp_path, BODY.replace("sentence 0 0", "sentence 0 O"), "b.tsv")
    assert load_training_data(Files(other), Config(), seed=0).fingerprint != first


def test_the_fingerprint_tells_what_is_held_out_from_what_is_learnt(tmp_path: Path) -> None:
    lines = BODY.splitlines(keepends=True)
    found = set()
    for n_learnt in (len(lines) - 2, len(lines) - 6):
        learnt = write(tmp_path, "".join(lines[:n_learnt]), "learnt.tsv")
        valid = write(tmp_path, "".join([lines[0], *lines[n_learnt:]]), "valid.tsv")
        found.add(load_training_data(Files(learnt, valid=valid), Config(), seed=0).fingerprint)
    assert len(found) == 2


def test_a_single_stranger_is_not_parted(tmp_path: Path) -> None:
    path = write(tmp_path, f"{BODY}\tof no group\n")
    with pytest.raises(ConfigError, match="two at least where none are given to choose the threshold by"):
        load_training_data(Files(path), Config(outlier_exposure_weight=1, synthetic_outliers=False), seed=0)
