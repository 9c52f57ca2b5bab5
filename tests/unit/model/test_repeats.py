"""Sentences that are there several times: in their group, in the held-out rows, out of scope."""

from pathlib import Path

import pytest

from model.config import Config, make_config
from model.contract.dataset import read_rows
from model.data.training_data import Files, TrainingData, load_training_data
from model.errors import TrainingError

LINES = [f"g{number}\tsentence {number} {copy}" for number in range(4) for copy in range(12)]


def write(tmp_path: Path, lines: list[str], name: str = "a.tsv", header: str = "group\ttext") -> Path:
    path = tmp_path / name
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def told(data: TrainingData, what: str) -> list[str]:
    return [finding for finding in data.findings if what in finding]


def test_copies_of_a_file_teach_no_more_than_the_file(tmp_path: Path) -> None:
    plain = load_training_data(Files(write(tmp_path, LINES)), Config(), seed=0)
    shouted = [line.upper().replace("G", "g", 1) + "!" for line in LINES]
    copied = load_training_data(Files(write(tmp_path, [*LINES, *LINES, *shouted], "b.tsv")), Config(), seed=0)
    assert copied.fingerprint == plain.fingerprint
    assert copied.config == plain.config
    assert {row.text for row in copied.train}.isdisjoint({row.text for row in copied.valid})
    assert told(copied, "repeat") == [
        "96 rows repeat a sentence of the same group and labels (such as line 50): each counts once"
    ]
    assert not told(plain, "repeat")


def test_copies_make_no_pairs_and_the_refusal_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, [f"g{number}\tsentence {number}" for number in range(9)] * 3)
    with pytest.raises(TrainingError, match=r"two groups of two sentences; 18 rows repeat .* once; add variants"):
        load_training_data(Files(path), Config(), seed=0)


def test_the_same_text_elsewhere_is_no_repeat(tmp_path: Path) -> None:
    data = load_training_data(Files(write(tmp_path, [*LINES, "g1\tsentence 0 0", "\tsentence 0 0"])), Config(), seed=0)
    assert len(data.train) + len(data.valid) == len(LINES) + 1
    assert data.out_of_scope == ["sentence 0 0"]
    labelled = [f"text {number}\t{'a' if number % 2 else 'b'}" for number in range(20)]
    for more, n_kept in (("text 0\ta", 21), ("text 0\tb=0.5", 21), ("text 0\tb", 20)):
        path = write(tmp_path, [*labelled, more], "l.tsv", "text\tlabels")
        data = load_training_data(Files(path), Config(), seed=0)
        assert len(data.train) + len(data.valid) == n_kept


def test_a_row_for_each_label_of_a_sentence_is_said(tmp_path: Path) -> None:
    lines = [f"text {number}\t{label}" for number in range(12) for label in ("refund", "card")]
    path = write(tmp_path, [*lines, "Text 3!\trefund", "alone\tcard"], "l.tsv", "text\tlabels")
    (finding,) = told(load_training_data(Files(path), Config(), seed=0), "different labels")
    assert finding.startswith("12 sentences stand in several rows with different labels (such as lines 2, 3): each")
    together = [f"text {number}\trefund|card" for number in range(12)]
    path = write(tmp_path, [*together, *together, "alone\tcard"], "m.tsv", "text\tlabels")
    assert not told(load_training_data(Files(path), Config(), seed=0), "different labels")


@pytest.mark.parametrize(("header", "objective"), [("group\ttext", "head"), ("labels\ttext", "multi_label")])
def test_held_out_rows_that_are_learnt_from_are_counted(tmp_path: Path, header: str, objective: str) -> None:
    valid = write(tmp_path, ["g1\tsomething new", "g1\tSentence 1, 3.", LINES[0]], "v.tsv", header)
    config = make_config("default", [f"objective={objective}"])
    data = load_training_data(Files(write(tmp_path, LINES, header=header), valid), config, seed=0)
    (finding,) = told(data, "by heart")
    assert finding.startswith(f"{valid}: 2 of its 3 sentences (such as line 3) stand in DATA too")
    assert [row.text for row in data.valid] == [row.text for row in read_rows(valid).rows]
    other = write(tmp_path, ["g1\tsomething new"], "w.tsv", header)
    assert not told(load_training_data(Files(tmp_path / "a.tsv", other), config, seed=0), "by heart")


@pytest.mark.parametrize(("header", "objective"), [("group\ttext", "head"), ("labels\ttext", "multi_label")])
def test_copies_among_held_out_rows_count_once(tmp_path: Path, header: str, objective: str) -> None:
    lines = ["g1\tsomething new", "g2\tanother", "g1\tSomething new!", "g2\tsomething new"]
    valid = write(tmp_path, lines, "v.tsv", header)
    config = make_config("default", [f"objective={objective}"])
    data = load_training_data(Files(write(tmp_path, LINES, header=header), valid), config, seed=0)
    assert [row.line for row in data.valid] == [2, 3, 5]
    (finding,) = told(data, "repeat")
    assert finding.startswith(f"{valid}: 1 rows repeat a sentence of the same group and labels (such as line 4)")


def test_sentences_of_a_group_and_of_none_are_said(tmp_path: Path) -> None:
    strangers = write(tmp_path, ["sentence 2 7?", "another"], "o.tsv", "text")
    data = load_training_data(Files(write(tmp_path, LINES), out_of_scope=strangers), Config(), seed=0)
    line = 2 + LINES.index("g2\tsentence 2 7")
    (finding,) = told(data, "contradicts")
    assert finding.startswith(f"1 sentences of a group (such as line {line}) are given as out of scope too")
    within = load_training_data(Files(write(tmp_path, [*LINES, "\tsentence 2 7"])), Config(), seed=0)
    assert len(told(within, "contradicts")) == 1
