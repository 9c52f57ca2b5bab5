"""POST :classify over a real socket: groups, labels, priors, and how it refuses."""

import math
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.serving.catalogue.catalogue import GroupSizes
from model.contract.bundle import load_bundle
from model.contract.deciding.decision import DecisionParameters
from model.contract.deciding.evidence import NEIGHBOURS_USED, OutOfScopeScore
from tests.conftest import add_encoder, make_collection
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running
from tests.fakes.spawned import samesay
from tests.fakes.tiny_bundle import make_tiny_bundle

LABELS = ("money back", "log in", "weather")
GROUPS = ("refund", "login")

BUNDLES: dict[str, dict[str, Any]] = {
    "labels": {
        "sigmoid_labels": LABELS,
        "decision": DecisionParameters(label_thresholds={"weather": 0.2}),
    },
    "words": {"sigmoid_labels": LABELS, "sigmoid_word": "undo"},
    "familiar": {
        "head_labels": GROUPS,
        "familiar": ["money back", "log in", "where is my invoice"],
        "decision": DecisionParameters(head_weight=0.5, score=OutOfScopeScore.BOTH, threshold=-1.0),
    },
    "newcomers": {
        "head_labels": GROUPS,
        "n_learnt": 40,
        "decision": DecisionParameters(
            head_weight=0.5, score=OutOfScopeScore.BOTH, threshold=0.6, word_weight=0.5, newcomer_threshold=0.45
        ),
    },
    "energy": {
        "head_labels": GROUPS,
        "head_scale": 20.0,
        "decision": DecisionParameters(head_weight=0.5, score=OutOfScopeScore.ENERGY, threshold=0.6, scale=15.0),
    },
    "leaning": {
        "head_labels": GROUPS,
        "head_scale": 20.0,
        "head_prior": (0.9, 0.1),
        "decision": DecisionParameters(
            head_weight=1.0, score=OutOfScopeScore.MAX_COSINE, threshold=-1.0, scale=15.0, logit_adjustment_tau=0.5
        ),
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("classify")
    for name, options in BUNDLES.items():
        make_tiny_bundle(made / name, **options)
    return made


@pytest.fixture(scope="module")
def service(folder: Path, tiny_bundle: Path) -> Iterator[Running]:
    settings = make_settings(folder / "data")
    for name in BUNDLES:
        add_encoder(settings, folder / name, name)
    add_encoder(settings, tiny_bundle)
    with running(settings) as started:
        yield started


def filled(service: Running, encoder: str) -> str:
    """A collection with a record in each of three groups, the third unknown to every head."""
    place = f"/v1/collections/{make_collection(service, encoder)}"
    texts = {"refund": "I want my money back", "login": "I cannot log in", "invoice": "where is my invoice"}
    upsert = [{"id": group, "text": text, "group": group} for group, text in texts.items()]
    assert service.client.post(f"{place}/records:batch?wait=visible", json={"upsert": upsert}).json()["visible"]
    return place


def classify(service: Running, place: str, **body: Any) -> list[dict[str, Any]]:
    answer = service.client.post(f"{place}:classify", json=body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def cosines(bundle: Path, text: str, others: tuple[str, ...]) -> list[float]:
    encoder = load_bundle(bundle).encoder
    return (encoder.encode(list(others)) @ encoder.encode([text])[0]).astype(float).tolist()


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def test_a_label_head_answers_every_label_that_passes_best_first(service: Running, folder: Path) -> None:
    place, text = filled(service, "labels"), "log in and money back, whatever the weather"
    result = classify(service, place, text=text)[0]
    confidences = [sigmoid(20 * cosine - 6) for cosine in cosines(folder / "labels", text, LABELS)]
    passing = [(c, label) for c, label, least in zip(confidences, LABELS, (0.5, 0.5, 0.2), strict=True) if c >= least]
    expected = sorted(passing, reverse=True)
    assert [label["label"] for label in result["labels"]] == [label for _, label in expected]
    assert [label["confidence"] for label in result["labels"]] == pytest.approx([c for c, _ in expected], abs=1e-5)
    assert len(expected) >= 2
    assert (result["decision"], result["confidence"]) == ("matched", result["labels"][0]["confidence"])
    assert {group["group"] for group in result["groups"]} == {"refund", "login", "invoice"}


def test_the_words_themselves_speak_where_the_head_has_scores_of_them(service: Running, folder: Path) -> None:
    texts = ["where is my weather", "undo"]
    bundle = load_bundle(folder / "words")
    results = classify(service, filled(service, "words"), texts=texts)
    for result, sure in zip(results, bundle.label_confidences(texts, bundle.encoder.encode(texts)), strict=True):
        given = {label["label"]: label["confidence"] for label in result["labels"]}
        wanted = {label: float(each) for label, each in zip(LABELS, sure, strict=True) if each >= 0.5}
        assert given == pytest.approx(wanted, abs=1e-5)
    (without,) = classify(service, filled(service, "labels"), text=texts[1])
    assert len(without["labels"]) < len(results[1]["labels"]) == len(LABELS)


def test_no_label_is_no_match_even_where_a_record_is_near(service: Running) -> None:
    place = filled(service, "labels")
    found, near = classify(service, place, texts=["qqq xyzzy", "where is my invoice"])
    assert (found["decision"], found["labels"]) == ("no_match", [])
    assert (near["decision"], near["labels"]) == ("no_match", [])
    assert near["groups"][0]["group"] == "invoice"
    assert near["confidence"] > 0.5


@pytest.mark.parametrize("encoder", list(BUNDLES))
def test_a_sentence_is_decided_alone_as_among_others(service: Running, encoder: str) -> None:
    place, texts = filled(service, encoder), ["money back", "log in or log out", "weather", "我要退款", "invoice"]
    together = classify(service, place, texts=texts)
    assert together == [classify(service, place, text=text)[0] for text in texts]


def test_a_group_head_has_no_labels(service: Running) -> None:
    assert classify(service, filled(service, "tiny"), text="money back")[0]["labels"] == []


def test_the_energy_decides_over_the_labels_that_are_groups(service: Running, folder: Path) -> None:
    place = filled(service, "energy")
    texts = ["refund", "refund login", "qqq xyzzy", "where is my invoice"]
    for text, result in zip(texts, classify(service, place, texts=texts), strict=True):
        energy = np.logaddexp.reduce([20 * c for c in cosines(folder / "energy", text, GROUPS)]) / 20
        expected = text == "where is my invoice" or energy >= 0.6  # newer than the head: by its record alone
        assert result["decision"] == ("matched" if expected else "no_match"), text
    assert {r["decision"] for r in classify(service, place, texts=texts)} == {"matched", "no_match"}


def test_words_count_for_a_group_that_is_newer_than_the_training(service: Running, folder: Path) -> None:
    """Against the formula: half cosine, half the overlap of words, which here all weigh the same."""
    place = filled(service, "newcomers")
    records = {"refund": "I want my money back", "login": "I cannot log in", "invoice": "where is my invoice"}
    texts = ["is my invoice where it belongs", "invoices?", "I want my invoice", "I want my money", "log in"]
    decisions = set()
    for text, result in zip(texts, classify(service, place, texts=texts), strict=True):
        words = [set(cut.replace("?", " ?").lower().split()) for cut in (text, *records.values())]
        overlaps = [len(words[0] & other) / math.sqrt(len(words[0]) * len(other)) for other in words[1:]]
        near = dict(zip(records, cosines(folder / "newcomers", text, tuple(records.values())), strict=True))
        likeness = {g: (near[g] + overlap) / 2 for g, overlap in zip(records, overlaps, strict=True)}
        heads = dict(zip(GROUPS, cosines(folder / "newcomers", text, GROUPS), strict=True))
        scores = {group: (near[group] + heads[group]) / 2 for group in GROUPS}
        scores["invoice"] = max(scores.values()) + likeness["invoice"] - max(likeness[group] for group in GROUPS)
        best = max(scores, key=lambda group: scores[group])
        match = (max(heads.values()) + max(near[group] for group in GROUPS)) / 2
        match = 0.6 + likeness[best] - 0.45 if best == "invoice" else match
        odds = {group: math.exp(20 * (match + score - scores[best] - 0.6)) for group, score in scores.items()}
        expected = {group: value / (1 + sum(odds.values())) for group, value in odds.items()}
        assert {g["group"]: g["confidence"] for g in result["groups"]} == pytest.approx(expected, abs=1e-4)
        assert result["decision"] == ("matched" if match >= 0.6 else "no_match")
        decisions.add((best, result["decision"]))
    assert {("invoice", "matched"), ("invoice", "no_match"), ("refund", "no_match")} <= decisions, decisions


def test_a_text_that_the_encoder_knows_nothing_of_matches_none_but_the_very_same(service: Running) -> None:
    place = filled(service, "familiar")
    known, unknown = classify(service, place, texts=["mony back", "привет"])
    assert known["decision"] == "matched"
    assert (unknown["decision"], unknown["groups"]) == ("no_match", [])
    body = {"text": "Привет", "group": "greeting"}
    service.client.put(f"{place}/records/hi?wait=visible", json=body).raise_for_status()
    same, other = classify(service, place, texts=["привет!", "пока"])
    assert other["decision"] == "no_match"
    (exact,) = classify(service, place, text="ПРИВЕТ")
    assert (exact["decision"], exact["groups"][0]["group"]) == ("matched", "greeting")
    assert same["decision"] == "no_match"


def test_symbols_that_the_encoder_cannot_tell_apart_are_not_the_same_text(service: Running, folder: Path) -> None:
    place = filled(service, "familiar")
    body = {"text": "👍", "group": "agreed"}
    service.client.put(f"{place}/records/up?wait=visible", json=body).raise_for_status()
    assert cosines(folder / "familiar", "👍", ("👎",)) == pytest.approx([1.0]), "else this proves nothing"
    same, other, wide = classify(service, place, texts=["👍", "👎", " 👍\u200b"])
    assert [group["group"] for group in same["groups"]] == [group["group"] for group in wide["groups"]] == ["agreed"]
    assert (other["decision"], other["groups"]) == ("no_match", [])


def test_the_very_same_text_is_found_among_many_that_the_encoder_cannot_tell_apart(
    service: Running, folder: Path
) -> None:
    place, symbols = filled(service, "familiar"), "👍👎😀😂😍😭🎉🙏🔥💔😡🤔✅❌🚀"
    assert len(symbols) > NEIGHBOURS_USED
    assert cosines(folder / "familiar", "👍", tuple(symbols)) == pytest.approx([1.0] * len(symbols)), "else no proof"
    upserts = [{"id": f"s{symbol}", "text": symbol, "group": f"g{symbol}"} for symbol in symbols]
    service.client.post(f"{place}/records:batch?wait=visible", json={"upsert": upserts}).raise_for_status()
    told = classify(service, place, texts=[*symbols, "🌵"])
    assert [[group["group"] for group in one["groups"]] for one in told] == [
        *([f"g{symbol}"] for symbol in symbols),
        [],
    ]
    assert [one["decision"] for one in told] == ["matched"] * len(symbols) + ["no_match"]


def odds(result: dict[str, Any], first: str, second: str) -> float:
    confidences = {group["group"]: group["confidence"] for group in result["groups"]}
    return float(confidences[first] / confidences[second])


def test_a_prior_multiplies_the_odds(service: Running) -> None:
    place, text = filled(service, "energy"), "login refund"
    plain = classify(service, place, text=text)[0]
    weighted = classify(service, place, text=text, prior={"refund": 6, "login": 2})[0]
    assert odds(weighted, "refund", "login") == pytest.approx(3 * odds(plain, "refund", "login"), rel=1e-3)
    assert odds(weighted, "login", "invoice") == pytest.approx(odds(plain, "login", "invoice"), rel=0.05)
    assert weighted["decision"] == plain["decision"]


def test_a_prior_takes_the_training_prior_out(service: Running, folder: Path) -> None:
    """f_y - log p_train(y) + log p_deploy(y), in the units of the head and of the decision."""
    place, text = filled(service, "leaning"), "login refund"
    at_refund, at_login = cosines(folder / "leaning", text, GROUPS)
    lean = np.log(0.9 / 0.1) / 20
    half = classify(service, place, text=text)[0]
    assert odds(half, "refund", "login") == pytest.approx(np.exp(15 * (at_refund - at_login - lean / 2)), rel=1e-2)
    prior = {"refund": 0.25, "login": 0.75}
    given = classify(service, place, text=text, prior=prior)[0]
    expected = np.exp(15 * (at_refund - at_login - lean) + np.log(0.25 / 0.75))
    assert odds(given, "refund", "login") == pytest.approx(expected, rel=1e-2)


def test_a_group_of_weight_0_is_never_answered(service: Running) -> None:
    place = filled(service, "tiny")
    body = {"texts": ["I want my money back", "I cannot log in"], "prior": {"refund": 0, "login": 1}}
    first, second = classify(service, place, **body)
    assert first["decision"] == "no_match"
    assert "refund" not in {group["group"] for group in first["groups"]}
    assert (second["decision"], second["groups"][0]["group"]) == ("matched", "login")


def test_a_long_prior_holds_nobody_up(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 groups, which it may name, take a tenth of a second to look up."""
    threads: dict[str, str] = {}

    def has(_: GroupSizes, group: str) -> bool:
        threads[group] = threading.current_thread().name
        return True

    place = filled(service, "tiny")
    monkeypatch.setattr(GroupSizes, "has", has)
    classify(service, place, text="money", prior={"login": 1, "refund": 2})
    on_loop = set(threads.values())
    classify(service, place, text="money", prior={f"g{number}": 2 for number in range(500)})
    assert len(threads) == 502
    assert len(on_loop) == 1
    assert on_loop.isdisjoint(threads[f"g{number}"] for number in range(500))


@pytest.mark.parametrize(
    ("prior", "pointer", "detail"),
    [
        ({"refund": -1, "login": 1}, "/prior/refund", "greater than or equal to 0"),
        ({"refund": "often", "login": 1}, "/prior/refund", "valid number"),
        ({"refund": 0, "login": 0}, "/prior", "all weights are 0"),
        ({"refund": 3}, "/prior", "only 'refund' is named"),
        ({}, "/prior", "no group is named"),
        ({"refunds": 3, "login": 1}, "/prior/refunds", "no record is in the group 'refunds'; did you mean 'refund'?"),
        ({"a/b~": 3, "login": 1}, "/prior/a~1b~0", "no record is in the group 'a/b~'"),
        ({"x" * 200: 3, "login": 1}, "/prior/" + "x" * 200, f"no record is in the group '{'x' * 64}'"),
        ({"x" * 300: 3, "login": 1}, f"/prior/{'x' * 256}/[key]", "at most 256 characters"),
        ([1, 2], "/prior", "should be an object"),
    ],
)
def test_a_bad_prior_is_named(service: Running, prior: Any, pointer: str, detail: str) -> None:
    place = filled(service, "tiny")
    answer = service.client.post(f"{place}:classify", json={"text": "money", "prior": prior})
    problem = assert_problem(answer, 422, "invalid_value")
    assert problem["errors"][0]["pointer"] == pointer
    assert detail in problem["errors"][0]["detail"]


def test_a_weight_beyond_all_numbers_is_refused(service: Running) -> None:
    place = filled(service, "tiny")
    endless = '{"text": "money", "prior": {"refund": 1e999, "login": 1}}'
    assert_problem(service.client.post(f"{place}:classify", content=endless.encode()), 422, "invalid_value")


def test_labels_are_imported_and_printed(service: Running, tmp_path: Path) -> None:
    name = make_collection(service, "labels")
    file = tmp_path / "labelled.tsv"
    file.write_text("text\tlabels\nI want my money back\tmoney|refund=0.8|angry=0.1|?late\nlog in\tnone\n")
    imported: subprocess.CompletedProcess[str] = samesay("import", name, str(file), "--url", service.url)
    assert imported.stdout.startswith("2 rows: 2 created, "), imported.stderr
    records = service.client.get(f"/v1/collections/{name}/records").json()["items"]
    assert [record["labels"] for record in records] == [["money", "refund"], []]
    decided = samesay("classify", name, "money back", "--url", service.url)
    assert decided.stdout.startswith("matched (confidence ")
    assert "money back" in decided.stdout
    assert "group" not in decided.stdout  # no record has one
