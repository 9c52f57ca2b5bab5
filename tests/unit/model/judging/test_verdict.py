"""The verdict: its figures against a count by hand, and what it says where little can be said."""

from dataclasses import replace

import numpy as np
import pytest

from model.config import GateRules
from model.contract.bundle import Bundle
from model.contract.dataset import Row
from model.contract.deciding.decision import Decision, DecisionParameters
from model.judging.rows import JudgedRows, part
from model.judging.verdict import FEWEST_ASKED, Side, compare, judge
from tests.fakes.judged import (
    PARAMETERS,
    SHARE,
    TOPICS,
    answers,
    found,
    judged,
    kept_out_ids,
    labelled,
    make_rows,
    tiny,
)

FIELDS = {
    "passed",
    "reasons",
    "notes",
    "rules",
    "metrics",
    "held_out",
    "training_data",
    "groups",
    "confusions",
    "calibration",
    "thresholds",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny(tmp_path_factory.mktemp("bundle") / "tiny", decision=PARAMETERS)


@pytest.fixture(scope="module")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of which every sentence out of scope is answered and none that is asked."""
    return tiny(tmp_path_factory.mktemp("bundle") / "wide", dim=8, seed=3, decision=DecisionParameters(threshold=0.999))


def verdict_of(bundle: Bundle, rows: JudgedRows, now: list[Decision], before: list[Decision], **rules: object) -> dict:  # type: ignore[type-arg]
    n = len(rows.asked)
    sides = (Side(bundle, answers(given[:n], [], given[n:])) for given in (now, before))
    return compare(*sides, rows, GateRules.read(rules), share=SHARE)  # type: ignore[misc]


def test_rows_are_parted_as_they_are_kept_out() -> None:
    rows = [*make_rows(), Row(line=999, id="alone", text="of a group that nothing is stored of", group="new")]
    rows += [Row(line=1000, id="free", text="without any group", role="example")]
    parted = part(rows, SHARE)
    kept_out = kept_out_ids(rows)
    assert {row.id for row in parted.strangers} == {key for key in kept_out if key.startswith("s")}
    unknown = kept_out & {"alone", "free"}
    assert {row.id for row in parted.asked} == {key for key in kept_out if key.startswith("r")}
    assert parted.n_left_out == len(unknown)
    assert {row.id for row in parted.stored} == {row.id for row in rows if row.role != "out_of_scope"} - kept_out
    assert parted.asked and parted.strangers and not parted.of_labels


def test_a_bundle_passes_beside_itself_and_is_told_in_full(bundle: Bundle) -> None:
    rows = part(make_rows(300), SHARE)
    heard: list[int] = []
    verdict = judge(bundle, bundle, rows, GateRules(), share=SHARE, suspects=frozenset(), tell=heard.append)
    assert verdict.keys() == FIELDS | {"seconds"}
    assert verdict["passed"] and not verdict["reasons"]
    assert sum(heard) == 2 * (len(rows.stored) + len(rows.asked) + len(rows.strangers))
    names = [rule["name"] for rule in verdict["rules"]]
    metrics = ["hit_rate@1", "best_group", "accuracy", "out_of_scope_recall"]
    assert names == [*(f"not_worse.{metric}" for metric in metrics), "above_chance"]
    assert verdict["metrics"]["candidate"] == verdict["metrics"]["active"]
    assert verdict["held_out"] == {
        "n": len(rows.asked),
        "groups": 5,
        "out_of_scope": len(rows.strangers),
        "left_out": 0,
    }
    assert verdict["thresholds"]["threshold"] == PARAMETERS.threshold


def test_judging_twice_says_the_same(bundle: Bundle, random_bundle: Bundle) -> None:
    rows = part(make_rows(200), SHARE)
    first, second = (
        judge(random_bundle, bundle, rows, GateRules(), share=SHARE, suspects=frozenset(), tell=lambda n: None)
        for _ in range(2)
    )
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert not first["passed"]


def test_the_hit_rate_is_that_of_the_nearest_stored_sentence(bundle: Bundle) -> None:
    moved = [replace(row, group="g0" if number % 7 == 0 else row.group) for number, row in enumerate(make_rows(300))]
    rows = part(moved, SHARE)
    verdict = judge(bundle, bundle, rows, GateRules(), share=SHARE, suspects=frozenset(), tell=lambda n: None)
    asked, stored = (bundle.encoder.encode([row.text for row in some]) for some in (rows.asked, rows.stored))
    nearest = np.argmax(asked @ stored.T, axis=1)
    hits = np.mean([rows.stored[at].group == row.group for at, row in zip(nearest, rows.asked, strict=True)])
    assert verdict["metrics"]["candidate"]["hit_rate@1"]["value"] == pytest.approx(float(hits))
    assert 0.2 < hits < 1.0, "or the test says nothing"


def test_metrics_and_calibration_are_those_counted_by_hand(bundle: Bundle) -> None:
    rows = judged(["a", "b"], ["a"] * 40, strangers=20)
    now = (
        [found("a", 0.9)] * 30
        + [found("b", 0.6)] * 6
        + [found(None, 0.5)] * 4
        + [found(None, 0.7)] * 15
        + [found("b", 0.8)] * 5
    )
    verdict = verdict_of(bundle, rows, now, now)
    metrics = verdict["metrics"]["candidate"]
    assert metrics["accuracy"]["value"] == 30 / 40 and metrics["out_of_scope_recall"]["value"] == 15 / 20
    assert metrics["accuracy"]["low"] < 30 / 40 < metrics["accuracy"]["high"]
    bins = verdict["calibration"]["candidate"]["bins"]
    assert len(bins) == 10 and sum(part["n"] for part in bins) == 60
    assert sum(part["n"] * part["accuracy"] for part in bins) == pytest.approx(45)
    assert sum(part["n"] * part["confidence"] for part in bins) == pytest.approx(30 * 0.9 + 6 * 0.6 + 2 + 15 * 0.7 + 4)
    assert [part["confidence"] for part in bins] == sorted(part["confidence"] for part in bins)


def test_a_worse_candidate_is_refused_with_reasons(bundle: Bundle) -> None:
    rows = judged(["a", "b"], ["a", "b"] * 100)
    right = [found("a"), found("b")] * 100
    verdict = verdict_of(bundle, rows, [found("b")] * 40 + right[40:], right)
    assert not verdict["passed"]
    assert "best_group fell in some groups by more than chance, from 1.0000 to 0.9000" in verdict["reasons"][0]
    assert "accuracy fell from 1.0000 to 0.9000 on 200 kept-out sentences" in verdict["reasons"][1]
    assert verdict["confusions"][0]["n"] == 20
    assert verdict_of(bundle, rows, right, right)["passed"] is False, "its nearest sentences are all of one group"
    assert verdict_of(bundle, rows, right, right, above_chance=False)["passed"]


def test_without_strangers_it_says_that_refusing_was_not_tested(bundle: Bundle) -> None:
    rows = judged(["a", "b"], ["a", "b"] * 20)
    verdict = verdict_of(bundle, rows, [found("a")] * 40, [found("a")] * 40)
    assert any("out of scope" in note for note in verdict["notes"])
    assert "out_of_scope_recall" not in verdict["metrics"]["candidate"]
    assert not any("out_of_scope" in rule["name"] for rule in verdict["rules"])


def test_of_few_sentences_it_says_that_they_are_few(bundle: Bundle) -> None:
    few, enough = (judged(["a", "b"], ["a"] * n, strangers=1) for n in (FEWEST_ASKED - 1, FEWEST_ASKED))
    notes = [
        verdict_of(bundle, rows, [found("a")] * (len(rows.asked) + 1), [found("a")] * (len(rows.asked) + 1))["notes"]
        for rows in (few, enough)
    ]
    assert any(f"{FEWEST_ASKED - 1} sentences were asked" in note for note in notes[0])
    assert not any("were asked" in note for note in notes[1])


def test_with_nothing_to_ask_it_passes_and_says_so(bundle: Bundle) -> None:
    rows = part(make_rows(20, strangers=0), 0.0)
    verdict = judge(bundle, bundle, rows, GateRules(), share=0.0, suspects=frozenset(), tell=lambda n: None)
    assert verdict["passed"] and verdict["rules"] == [] and verdict["groups"] == []
    assert any(note.startswith("0 sentences were asked") for note in verdict["notes"])


def test_bounds_on_what_is_not_measured_are_told(bundle: Bundle) -> None:
    rows = judged(["a", "b"], ["a", "b"] * 20)
    bounds = {"least": {"label_f1": 0.9, "accuracy": 0.1}, "max_drop": {"out_of_scope_recall": 0.1, "accuracy": 1.0}}
    verdict = verdict_of(bundle, rows, [found("a")] * 40, [found("a")] * 40, **bounds)
    tested = {rule["name"] for rule in verdict["rules"]}
    assert {"least.accuracy", "max_drop.accuracy"} < tested
    told = [note for note in verdict["notes"] if "was not tested: no kept-out sentence measures" in note]
    assert [note.split()[2] for note in told] == ["max_drop.out_of_scope_recall", "least.label_f1"]


@pytest.mark.parametrize(
    ("kept", "known"), [(None, "unknown"), (0.05, "unknown"), (SHARE, "kept out"), (0.5, "kept out")]
)
def test_what_a_bundle_learned_from_is_known_by_what_it_kept_out(
    bundle: Bundle, kept: float | None, known: str
) -> None:
    config = {} if kept is None else {"keep_out": kept}
    other = replace(bundle, manifest=bundle.manifest.model_copy(update={"config": config}))
    rows = judged(["a", "b"], ["a", "b"] * 50, strangers=1)
    right, wrong = [found("a"), found("b")] * 50 + [found(None)], [found("b")] * 101
    sides = Side(bundle, answers(wrong[:100], [], wrong[100:])), Side(other, answers(right[:100], [], right[100:]))
    verdict = compare(*sides, rows, GateRules(), share=SHARE)
    assert verdict["training_data"] == {"candidate": "unknown", "active": known}
    assert any("learned from these very sentences" in reason for reason in verdict["reasons"]) is (known == "unknown")
    assert any("what the active encoder learned from is unknown" in note for note in verdict["notes"]) is (
        known == "unknown"
    )


def test_labels_are_judged_by_f1_where_there_are_no_groups(bundle: Bundle) -> None:
    rows = part(make_rows(100, strangers=0, labels=True), SHARE)
    assert rows.of_labels and len(rows.asked) == len(kept_out_ids(make_rows(100, strangers=0)))
    right = [labelled(*row.likely_labels) for row in rows.asked]
    half = [labelled(*row.likely_labels, "more") for row in rows.asked]
    verdict = verdict_of(bundle, rows, half, right)
    assert verdict["metrics"]["candidate"]["label_f1"]["value"] == pytest.approx(2 / 3)
    assert verdict["metrics"]["active"]["label_f1"]["value"] == 1.0
    assert [rule["name"] for rule in verdict["rules"]] == ["not_worse.label_f1"] and not verdict["passed"]
    assert verdict["groups"] == verdict["confusions"] == []
    assert verdict_of(bundle, rows, right, half)["passed"]


def test_none_given_of_no_labels_is_right(bundle: Bundle) -> None:
    rows = part([*make_rows(50, strangers=0, labels=True), *plain(50)], SHARE)
    none = [labelled() for _ in rows.asked]
    value = verdict_of(bundle, rows, none, none)["metrics"]["candidate"]["label_f1"]["value"]
    assert value == pytest.approx(np.mean([not row.likely_labels for row in rows.asked])) and 0 < value < 1


def plain(n: int) -> list[Row]:
    return [Row(line=500 + k, id=f"p{k}", text=f"{TOPICS[k % 5]} plain {k}", role="example") for k in range(n)]
