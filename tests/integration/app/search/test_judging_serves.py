"""Judging answers what serving answers: the same bundle, the same records, every sentence decided alike."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from model.contract.bundle import load_bundle
from model.contract.dataset import Row
from model.contract.deciding.decision import Decision, DecisionParameters
from model.contract.deciding.evidence import OutOfScopeScore
from model.evaluation.evaluate import LabelledSentences, evaluate
from model.judging.answers import answer, given_group
from model.judging.rows import part
from tests.conftest import add_encoder, make_collection
from tests.fakes.judged import SHARE, make_rows
from tests.fakes.running import Running
from tests.fakes.tiny_bundle import make_tiny_bundle

_numbers = count()

HEAD = ("g0", "g1", "gone", "g3")
"""A head that has learned a group that is gone since, and does not know g2 and g4."""

BY_HEAD: dict[str, Any] = {"head_labels": HEAD, "head_scale": 20.0}
BUNDLES: dict[str, dict[str, Any]] = {
    "neighbours": {"decision": DecisionParameters(threshold=0.5)},
    "ambiguous": {"decision": DecisionParameters(threshold=0.3, margin=0.2)},
    "head": {**BY_HEAD, "decision": DecisionParameters(head_weight=0.5, score=OutOfScopeScore.BOTH, threshold=0.3)},
    "words": {
        **BY_HEAD,
        "n_learnt": 30,
        "decision": DecisionParameters(
            head_weight=0.5, score=OutOfScopeScore.BOTH, threshold=0.3, word_weight=0.5, newcomer_threshold=0.4
        ),
    },
    "words alone": {"n_learnt": 30, "decision": DecisionParameters(threshold=0.5, word_weight=0.3)},
    "head alone": {**BY_HEAD, "decision": DecisionParameters(head_weight=1, score=OutOfScopeScore.MAX_COSINE)},
    "energy": {
        **BY_HEAD,
        "head_prior": (0.1, 0.2, 0.3, 0.4),
        "decision": DecisionParameters(
            head_weight=0.3, score=OutOfScopeScore.ENERGY, threshold=0.4, break_even=0.35, logit_adjustment_tau=0.5
        ),
    },
    "labels": {
        "sigmoid_labels": ("refund my money", "reset the password"),
        "decision": DecisionParameters(label_threshold=0.6, label_thresholds={"reset the password": 0.4}),
    },
}


def rows_to_judge() -> list[Row]:
    """Of groups, without a group, and out of scope."""
    free = [Row(line=500 + n, id=f"f{n}", text=f"my money and the shop {n}", role="example") for n in range(20)]
    return [*make_rows(120), *free]


def store(service: Running, bundle: Path, rows: Sequence[Row]) -> str:
    """A collection of these records; its place."""
    name = f"judged-{next(_numbers)}"
    add_encoder(service.container.settings, bundle, name)
    place = f"/v1/collections/{make_collection(service, name)}"
    records = [{"id": row.id, "text": row.text, "group": row.group, "role": row.role} for row in rows]
    answered = service.client.post(f"{place}/records:batch", json={"upsert": records}, params={"wait": "visible"})
    assert answered.status_code == 200 and answered.json()["visible"], answered.text
    return place


def outcome(decision: Decision) -> dict[str, Any]:
    return {
        "decision": decision.outcome,
        "confidence": pytest.approx(decision.confidence, abs=2e-5),
        "groups": [found.group for found in decision.groups],
        "labels": [(found.label, pytest.approx(found.confidence, abs=2e-5)) for found in decision.labels],
    }


def served(service: Running, place: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What serving says of the same sentences; groups are all that have any evidence."""
    body = {"texts": [row.text for row in rows], "top_n": 20}
    answered = service.client.post(f"{place}:classify", json=body)
    assert answered.status_code == 200, answered.text
    return [
        {
            "decision": found["decision"],
            "confidence": found["confidence"],
            "groups": [group["group"] for group in found["groups"]],
            "labels": [(label["label"], label["confidence"]) for label in found["labels"]],
        }
        for found in answered.json()["results"]
    ]


@pytest.mark.parametrize("name", BUNDLES)
def test_judging_decides_each_sentence_as_serving_does(shared_service: Running, tmp_path: Path, name: str) -> None:
    make_tiny_bundle(tmp_path / "bundle", seed=next(_numbers), **BUNDLES[name])
    rows = part(rows_to_judge(), SHARE)
    place = store(shared_service, tmp_path / "bundle", rows.stored)
    answers = answer(load_bundle(tmp_path / "bundle"), rows, lambda n: None)
    assert len(rows.asked) > 20 and len(rows.strangers) > 5
    assert served(shared_service, place, rows.asked) == [outcome(decision) for decision in answers.decisions]
    assert served(shared_service, place, rows.strangers) == [outcome(decision) for decision in answers.refusals]
    said = {decision.outcome for decision in (*answers.decisions, *answers.refusals)}
    assert len(said) > 1, "or the test compares one outcome only"


@pytest.mark.parametrize("name", ["neighbours", "head", "words", "words alone", "head alone", "energy"])
def test_evaluate_measures_what_serving_answers(shared_service: Running, tmp_path: Path, name: str) -> None:
    """Of a head that has learned a group that nothing stored has: no answer gives it."""
    make_tiny_bundle(tmp_path / "bundle", seed=next(_numbers), **BUNDLES[name])
    rows = part(make_rows(120), SHARE)
    strangers = [*rows.strangers, *(Row(line=900 + n, text=text) for n, text in enumerate(("gone", "gone g3")))]
    stored, asked = (
        LabelledSentences([row.text for row in some], [row.group for row in some])
        for some in (rows.stored, [*rows.asked, *strangers])
    )
    measured = evaluate(load_bundle(tmp_path / "bundle"), asked, stored)
    place = store(shared_service, tmp_path / "bundle", rows.stored)
    given = [
        None if answer["decision"] == "no_match" else answer["groups"][0]
        for answer in served(shared_service, place, [*rows.asked, *strangers])
    ]
    right = [group == row.group for group, row in zip(given, rows.asked, strict=False)]
    refused = [group is None for group in given[len(rows.asked) :]]
    assert measured["in_scope_accuracy"] == pytest.approx(sum(right) / len(right))
    assert measured["oos_recall"] == pytest.approx(sum(refused) / len(refused))


def test_judging_takes_the_very_same_text_for_the_same_as_serving_does(shared_service: Running, tmp_path: Path) -> None:
    """Of symbols, which are all one to an encoder that knows none of them."""
    make_tiny_bundle(tmp_path / "bundle", seed=next(_numbers), familiar=["refund my money"], **BUNDLES["neighbours"])
    texts = {"👍": "yes", "refund my money": "refund"}
    stored = [
        Row(line=n, id=f"s{n}", text=text, group=group, role="example") for n, (text, group) in enumerate(texts.items())
    ]
    asked = [Row(line=n, id=f"a{n}", text=text, group="yes") for n, text in enumerate(["👍", " 👍 ", "👎"])]
    rows = replace(part(rows_to_judge(), SHARE), stored=stored, asked=asked, strangers=[])
    place = store(shared_service, tmp_path / "bundle", rows.stored)
    answers = answer(load_bundle(tmp_path / "bundle"), rows, lambda n: None)
    assert [given_group(decision) for decision in answers.decisions] == ["yes", "yes", None]
    assert served(shared_service, place, rows.asked) == [outcome(decision) for decision in answers.decisions]


def test_the_nearest_sentences_are_those_that_a_search_finds(shared_service: Running, tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "bundle", seed=99)
    rows = part(rows_to_judge(), SHARE)
    place = store(shared_service, tmp_path / "bundle", rows.stored)
    nearest = answer(load_bundle(tmp_path / "bundle"), rows, lambda n: None).nearest
    body = {"queries": [row.text for row in rows.asked], "k": 10}
    for at, found in enumerate(shared_service.client.post(f"{place}:search", json=body).json()["results"]):
        scores = [hit["score"] for hit in found]
        assert scores == pytest.approx(nearest.scores[at].tolist(), abs=2e-6)
        best = nearest.rows[at][nearest.scores[at] >= nearest.scores[at][0] - 1e-6]
        assert found[0]["id"] in {rows.stored[row].id for row in best.tolist()}
