"""Figures of groups and what is said of confusions, on cases made up."""

from model.contract.deciding.decision import Outcome
from model.judging.groups import MOST_IDS, MOST_PAIRS, confusions, figures_of_groups
from tests.fakes.judged import answers, found, judged


def test_figures_of_groups_are_those_counted_by_hand() -> None:
    rows = judged(["a", "b"], ["a", "a", "a", "b", "b", "c"])
    now = answers([found(group) for group in ("a", "a", "b", "b", None, "a")])
    before = answers([found(group) for group in ("a", "b", "b", "b", "b", None)])
    keys = ("group", "n", "precision", "recall", "precision_before", "recall_before")
    assert [tuple(figures[key] for key in keys) for figures in figures_of_groups(rows, now, before)] == [
        ("c", 1, None, 0.0, None, 0.0),
        ("b", 2, 1 / 2, 1 / 2, 2 / 4, 1.0),
        ("a", 3, 2 / 3, 2 / 3, 1.0, 1 / 3),
    ]


def test_an_ambiguous_answer_counts_and_no_match_does_not() -> None:
    rows = judged(["a"], ["a", "a"])
    now = answers([found("a", outcome=Outcome.AMBIGUOUS), found(None)])
    assert figures_of_groups(rows, now, now)[0]["recall"] == 0.5


def test_a_sentence_in_the_wrong_group_is_to_be_moved() -> None:
    rows = judged(["a", "b", "b"], ["a", "a", "b"])
    now = answers([found("b"), found("b"), found("b")], [[1, 2], [1, 2], [2, 1]])
    (confusion,) = confusions(rows, now, frozenset({"s1"}))
    assert (confusion["group"], confusion["given"], confusion["n"]) == ("a", "b", 2)
    assert (confusion["asked"], confusion["caused_by"]) == (["a0", "a1"], ["s1"])
    assert confusion["advice"] == "move" and "'s1' stands in 'b' and looks like 'a'" in confusion["why"]


def test_groups_taken_for_each_other_are_to_be_merged() -> None:
    rows = judged(["a", "b"], ["a"] * 4 + ["b"] * 4)
    now = answers([found(group) for group in ("b", "a", "a", "a", "a", "b", "b", "b")])
    advice = {(found["group"], found["given"]): found["advice"] for found in confusions(rows, now, frozenset())}
    assert advice == {("a", "b"): "merge", ("b", "a"): "merge"}


def test_what_is_confused_one_way_or_seldom_lacks_variants() -> None:
    one_way = judged(["a", "b"], ["a"] * 4 + ["b"] * 4)
    (confusion,) = confusions(one_way, answers([found("b")] * 8), frozenset())
    assert (confusion["n"], confusion["advice"]) == (4, "add_variants")
    seldom = judged(["a", "b"], ["a"] * 9 + ["b"] * 9)
    given = ["b"] + ["a"] * 8 + ["a"] + ["b"] * 8
    found_ = confusions(seldom, answers([found(group) for group in given]), frozenset())
    assert [confusion["advice"] for confusion in found_] == ["add_variants"] * 2


def test_what_was_refused_or_right_is_no_confusion() -> None:
    rows = judged(["a"], ["a", "a"])
    assert confusions(rows, answers([found(None), found("a")]), frozenset()) == []


def test_the_most_confused_come_first_and_lists_end() -> None:
    groups = [f"g{n:03}" for n in range(MOST_PAIRS + 5)]
    asked = groups + ["g000"] * (MOST_IDS + 5)
    rows = judged(["wrong"], asked)
    found_ = confusions(rows, answers([found("wrong")] * len(asked)), frozenset())
    assert len(found_) == MOST_PAIRS
    assert (found_[0]["group"], found_[0]["n"], len(found_[0]["asked"])) == ("g000", MOST_IDS + 6, MOST_IDS)
