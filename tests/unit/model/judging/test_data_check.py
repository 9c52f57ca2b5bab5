"""What the data check finds: faults that were planted, all of them, and nothing in clean data."""

from dataclasses import replace

import numpy as np
import pytest

from model.contract.bundle import Bundle
from model.contract.dataset import Row
from model.contract.keep_out import is_kept_out
from model.judging import data_check
from model.judging.data_check import MOST_SHOWN, NEAR, check_data, suspects
from tests.fakes.judged import make_rows, tiny

WORDS = ("apple", "river", "stone", "cloud", "tiger", "piano", "candle", "forest")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny(tmp_path_factory.mktemp("bundle") / "tiny", dim=64)


def clean(n: int = 12) -> list[Row]:
    """Groups of sentences about a word of their own, n each."""
    return [
        Row(
            line=n * place + k,
            id=f"{word}{k}",
            text=f"{word} {word} number {chr(97 + k) * 6}",
            group=word,
            role="example",
        )
        for place, word in enumerate(WORDS)
        for k in range(n)
    ]


def check(rows: list[Row], bundle: Bundle, share: float = 0.1) -> dict[str, object]:
    heard: list[int] = []
    found = check_data(rows, bundle, share, heard.append)
    assert sum(heard) == sum(row.role != "out_of_scope" and row.group is not None for row in rows)
    return found


def ids(found: dict[str, object], kind: str) -> list[list[str]]:
    return [finding["ids"] for finding in found["findings"] if finding["kind"] == kind]  # type: ignore[attr-defined]


def test_nothing_is_found_in_clean_data(bundle: Bundle) -> None:
    rows = clean()
    found = check(rows, bundle)
    assert (found["findings"], found["totals"], found["fatal"]) == ([], {}, None)
    assert found["counts"] == {
        "rows": len(rows),
        "groups": len(WORDS),
        "labels": 0,
        "out_of_scope": 0,
        "kept_out": sum(is_kept_out(row.text, 0.1) for row in rows),
    }
    assert found["compared"] == len(rows)


def test_planted_mislabelled_sentences_are_found_and_no_others(bundle: Bundle) -> None:
    """Of groups that are apart, one sentence in twelve moved elsewhere: all are found, and nothing else."""
    rows = clean()
    planted = {f"{word}3": WORDS[(place + 3) % len(WORDS)] for place, word in enumerate(WORDS)}
    wrong = [replace(row, group=planted.get(row.id or "", row.group)) for row in rows]
    found = check(wrong, bundle)
    assert suspects(found) == set(planted)
    for finding in found["findings"]:  # type: ignore[attr-defined]
        (key,) = finding["ids"]
        assert finding["groups"] == [planted[key], key[:-1]], "the group it is in, then the one it looks like"


def test_the_same_text_in_two_groups_is_found_however_it_is_written(bundle: Bundle) -> None:
    rows = clean()
    rows += [
        Row(line=900, id="x1", text="How are you?", group="apple"),
        Row(line=901, id="x2", text="how ARE you", group="river"),
    ]
    rows += [Row(line=902, id="x3", text="how are you!", group="river")]
    found = check(rows, bundle)
    assert ids(found, "same_text_in_two_groups") == [["x1", "x2", "x3"]]
    assert ids(found, "near_duplicate_across_groups") == [], "it is told once"


def test_near_duplicates_of_different_groups_are_found_as_the_cosines_say(bundle: Bundle) -> None:
    rows = clean()
    text = "please tell me the opening hours of your shop in the old town today"
    rows += [Row(line=900, id="x1", text=text, group="apple"), Row(line=901, id="x2", text=f"{text} ok", group="river")]
    embeddings = bundle.encoder.encode([row.text for row in rows])
    cosines = embeddings @ embeddings.T
    expected = {
        frozenset((rows[a].id, rows[b].id))
        for a, b in zip(*np.nonzero(cosines >= NEAR), strict=True)
        if rows[a].group != rows[b].group
    }
    found = ids(check(rows, bundle), "near_duplicate_across_groups")
    assert frozenset({"x1", "x2"}) in expected
    assert {frozenset(pair) for pair in found} == expected and len(found) == len(expected)


def test_a_group_of_one_sentence_is_found(bundle: Bundle) -> None:
    rows = [*clean(), Row(line=900, id="x1", text="good morning everybody", group="alone")]
    assert ids(check(rows, bundle), "single_variant_group") == [["x1"]]


def test_what_is_found_is_bounded_and_counted(bundle: Bundle) -> None:
    rows = [Row(line=n, id=f"r{n}", text=f"sentence {n} {n * 7919}", group=f"g{n}") for n in range(MOST_SHOWN + 20)]
    found = check(rows, bundle)
    assert len(ids(found, "single_variant_group")) == MOST_SHOWN
    assert found["totals"]["single_variant_group"] == MOST_SHOWN + 20  # type: ignore[index]


def test_of_many_sentences_some_are_compared_with_all(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_check, "MOST_COMPARED", 40)
    rows = clean()
    text = "please tell me the opening hours of your shop in the old town today"
    rows += [Row(line=900 + n, id=f"x{n}", text=f"{text} {n}", group=f"{WORDS[n % 2]}") for n in range(6)]
    first, second = (check(rows, bundle) for _ in range(2))
    assert first["compared"] == 40 and first == second
    pairs = [frozenset(pair) for pair in ids(first, "near_duplicate_across_groups")]
    assert len(pairs) == len(set(pairs)), "a pair is told once"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([Row(line=1, text="one", group="a"), Row(line=2, text="two", group="a")], "too_few_groups"),
        ([Row(line=1, text="one"), Row(line=2, text="two", role="example")], "nothing_to_learn"),
        ([Row(line=1, text="one", labels=("l1",))], None),
        (make_rows(), None),
    ],
)
def test_what_cannot_be_trained_on_is_said(rows: list[Row], code: str | None, bundle: Bundle) -> None:
    fatal = check(rows, bundle, share=0.0)["fatal"]
    assert (fatal and fatal["code"]) == code  # type: ignore[index]


def test_groups_that_are_all_kept_out_cannot_be_learned(bundle: Bundle) -> None:
    fatal = check(clean(1), bundle, share=0.99999)["fatal"]
    assert fatal and fatal["code"] == "nothing_to_learn"  # type: ignore[index]
    assert "are kept out" in fatal["detail"] and "none of" not in fatal["detail"]  # type: ignore[index]


def test_a_group_that_is_all_kept_out_is_named(bundle: Bundle) -> None:
    texts = [f"{word} question" for word in WORDS]
    kept_out, learnt = ([text for text in texts if is_kept_out(text, 0.5) is kept] for kept in (True, False))
    rows = [Row(line=1, text=kept_out[0], group="away"), Row(line=2, text=learnt[0], group="here")]
    fatal = check(rows, bundle, share=0.5)["fatal"]
    assert fatal and fatal["code"] == "too_few_groups"  # type: ignore[index]
    assert "may learn from one, 'here': all sentences of 'away' are kept out" in fatal["detail"]  # type: ignore[index]
