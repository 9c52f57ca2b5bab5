"""Evaluation of a bundle on labels and on groups, recomputed from its own embeddings with scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from model.contract.bundle import Bundle, load_bundle
from model.contract.dataset import Row, read_rows
from model.contract.deciding.decision import DecisionParameters
from model.evaluation.baseline import multi_label_baseline, svm_baseline
from model.evaluation.evaluate import LabelledSentences, evaluate
from tests.fakes.tiny_bundle import make_tiny_bundle

LABELLED = """text\tlabels
I want my money back\tmoney back
money back, and I cannot log in\tmoney back|log in|angry
please log in\tlog in
money money log log\t?log in|money back=0.6
what is the weather\tnone
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    decision = DecisionParameters(label_thresholds={"log in": 0.2})
    make_tiny_bundle(tmp_path / "b", sigmoid_labels=("money back", "log in"), decision=decision)
    return load_bundle(tmp_path / "b")


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_labels_are_measured_over_those_of_head_and_file(bundle: Bundle, tmp_path: Path) -> None:
    data = LabelledSentences.read(write(tmp_path / "a.tsv", LABELLED))
    found = evaluate(bundle, data, None)
    assert bundle.label_head is not None
    confidences = bundle.label_head.confidences(bundle.encoder.encode(data.sentences))
    predicted = np.column_stack([confidences >= [0.5, 0.2], np.zeros(5, bool)])
    applies = np.array([[1, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    known = np.ones_like(applies)
    known[3, 1] = False
    per_label = [f1_score(applies[k, c], predicted[k, c], zero_division=0) for c, k in enumerate(known.T)]
    assert found["n"] == 5
    assert found["macro_f1"] == pytest.approx(np.mean(per_label))
    assert found["micro_f1"] == pytest.approx(f1_score(applies[known], predicted[known]))
    assert 0.2 < found["macro_f1"] < 0.7  # nobody gives the label angry
    assert {"exact_match", "label_ranking_loss", "label_ranking_average_precision", "ece"} <= found.keys()


def test_a_file_with_groups_and_labels_is_measured_on_both(bundle: Bundle, tmp_path: Path) -> None:
    content = "group\ttext\tlabels\nrefund\tmoney back\tmoney back\nlogin\tlog in\tlog in\n"
    data = LabelledSentences.read(write(tmp_path / "a.tsv", content))
    found = evaluate(bundle, data, data)
    assert (found["n"], found["knn1"], found["micro_f1"]) == (2, 1.0, 1.0)
    assert "in_scope_accuracy" not in found  # the labels decide


def test_groups_need_no_labels_column(tiny_bundle: Path, tmp_path: Path) -> None:
    content = "group\ttext\nrefund\tmoney back\nrefund\tmoney\nlogin\tlog in\nlogin\tlog\n\tweather\n"
    data = LabelledSentences.read(write(tmp_path / "a.tsv", content))
    assert data.rows == ()
    found = evaluate(load_bundle(tiny_bundle), data, data)
    assert {"n", "head_accuracy", "knn1", "oos_auroc", "in_scope_accuracy", "oos_recall", "ece"} <= found.keys()
    assert found["n"] == 4
    assert 0 <= found["ece"] <= 1


def test_the_baseline_learns_labels_that_words_tell_apart(tmp_path: Path) -> None:
    lines = ["text\tlabels"]
    for number in range(30):
        lines += [
            f"refund {number}\tmoney|always",
            f"password {number}\tlogin|always",
            f"both refund password {number}\tmoney|login|always",
        ]
    train = read_rows(write(tmp_path / "train.tsv", "\n".join(lines))).rows
    test = "text\tlabels\na refund\tmoney|always\nmy password\tlogin|always\nrefund my password\tmoney|login|always\n"
    found = multi_label_baseline(train, read_rows(write(tmp_path / "test.tsv", test)).rows)
    assert (found["micro_f1"], found["macro_f1"], found["exact_match"]) == (1.0, 1.0, 1.0)
    unseen = read_rows(write(tmp_path / "more.tsv", test.replace("money", "never seen"))).rows
    found = multi_label_baseline(train, unseen)
    # always and login are right, money is given where it is not true, never seen is not given
    assert found["macro_f1"] == pytest.approx((1 + 1 + 0 + 0) / 4)


def test_the_baseline_gives_what_alone_is_known() -> None:
    found = svm_baseline(["one", "two"], ["a", "a"], ["one", "three", "four"], ["a", "b", "a"])
    assert found["head_accuracy"] == pytest.approx(2 / 3)
    assert found["head_macro_f1"] == pytest.approx(f1_score(["a", "b", "a"], ["a"] * 3, average="macro"))
    both, none = (Row(line=2, text="one", labels=labels) for labels in (("x", "y"), ()))
    assert multi_label_baseline([both] * 3, [both, both])["exact_match"] == 1.0
    assert multi_label_baseline([none] * 3, [both, none])["exact_match"] == 0.5


def test_lines_left_out_and_groups_that_nothing_stored_has_are_told(tmp_path: Path) -> None:
    stored, asked = tmp_path / "stored.tsv", tmp_path / "asked.tsv"
    rows = "".join(f"a\ttext {number}\n" for number in range(200))
    stored.write_text(f"group\ttext\n{rows}\tof no group\n")
    asked.write_text(f"group\ttext\n{rows}zz\tanother\na\t\n")
    data = LabelledSentences.read(asked)
    assert list(data.findings) == [f"{asked}: line 203 left out: text is empty"]
    nowhere, unknown, known = data.describe_against(LabelledSentences.read(stored))
    assert nowhere.startswith("1 sentences of --against (such as 'of no group') have no group and are left out")
    assert unknown == "1 groups that --against does not have, such as 'zz', count as wrong answers"
    assert known.startswith("200 of 201 sentences (such as 'text 0') stand in --against too")
    strangers = data.with_strangers(write(tmp_path / "strangers.tsv", "text\nx\ny\tz\n"))
    assert strangers.strangers() == ["x"]
    assert list(strangers.findings) == [
        *data.findings,
        f"{tmp_path / 'strangers.tsv'}: line 3 left out: 2 cells where the header has 1",
    ]


def test_what_is_not_measured_is_told(tiny_bundle: Path, tmp_path: Path) -> None:
    data = LabelledSentences.read(write(tmp_path / "a.tsv", "group\ttext\nrefund\tmoney\nlogin\tlog\n\tweather\n"))
    stored = LabelledSentences.read(write(tmp_path / "b.tsv", "group\ttext\nrefund\tmoney back\n"))
    bundle = load_bundle(tiny_bundle)
    assert bundle.head is not None
    (unlearnt,) = data.describe_unmeasured(evaluate(bundle, data, stored), ["login"])
    assert unlearnt.startswith("1 groups that the bundle did not learn, such as 'refund', count as wrong")
    alone, beside = evaluate(bundle, data, None), evaluate(bundle, data, stored)
    told = data.describe_unmeasured(alone, bundle.head.labels)
    assert told == ["1 out-of-scope sentences are not measured: --against FILE, what is stored, would"]
    assert data.describe_unmeasured(beside, bundle.head.labels) == []
    labelled = LabelledSentences.read(write(tmp_path / "l.tsv", LABELLED))
    assert labelled.describe_unmeasured({"micro_f1": 1.0}, ()) == []
    (of_labels,) = labelled.with_strangers(tmp_path / "b.tsv").describe_unmeasured({"micro_f1": 1.0}, ())
    assert of_labels == "1 out-of-scope sentences are not measured: put them into the file with labels none"
    assert data.describe_unmeasured({"n": 2}, ())[1].startswith("nothing is measured: no group has two sentences")


def test_one_stored_sentence_is_enough_to_measure_against(tiny_bundle: Path, tmp_path: Path) -> None:
    data = LabelledSentences.read(write(tmp_path / "a.tsv", "group\ttext\nrefund\tmoney\nlogin\tlog\n"))
    stored = LabelledSentences.read(write(tmp_path / "b.tsv", "group\ttext\nrefund\tmoney back\n"))
    found = evaluate(load_bundle(tiny_bundle), data, stored)
    assert (found["knn1"], found["knn5"]) == (0.5, 0.5)
