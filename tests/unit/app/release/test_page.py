"""The page of a release: well-formed, safe, complete, and of the texts as they are now."""

from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from app.release.page.page import render
from app.release.page.source import MOST_GROUPS, MOST_SENTENCES, MOST_TEXTS, PageSource, ids_named
from app.release.schemas import EventAnswer
from app.release.tables import ReleaseAction
from tests.fakes.release_report import make_report, rows_with_faults

EVENT = EventAnswer(
    release=4,
    action=ReleaseAction.ROLLED_BACK,
    who="<i>ops</i>",
    why="misses refunds",
    at=datetime(2026, 11, 29, 7, 8, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_report(tmp_path_factory.mktemp("report"), {"max_drop": {"accuracy": 0.01}, "max_ece_rise": 0.5})


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {row.id or "": row.text for row in rows_with_faults()}


def page_of(report: dict[str, Any], texts: dict[str, str], events: tuple[EventAnswer, ...] = (EVENT,)) -> str:
    return render(PageSource(collection="faq", number=4, report=report, events=events, texts=texts))


def parsed(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def text_of(page: str) -> str:
    """What a reader sees, and what a screen reader says of pictures."""
    body = parsed(page).find("body")
    assert body is not None
    return " ".join(" ".join(body.itertext()).split())


def cells(page: str, caption: str) -> list[list[str]]:
    """The rows of the table whose caption begins so."""
    (table,) = [
        found
        for found in parsed(page).iter("table")
        if "".join(found.find("caption").itertext()).startswith(caption)  # type: ignore[union-attr]
    ]
    return [["".join(cell.itertext()) for cell in row] for row in table.findall("tbody/tr")]


def per_cent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f} %"


def test_the_report_has_all_that_a_page_can_show(report: dict[str, Any]) -> None:
    verdict, totals = report["verdict"], report["check"]["totals"]
    assert not verdict["passed"] and verdict["confusions"] and verdict["groups"]
    assert {confusion["advice"] for confusion in verdict["confusions"]} > {"move"}
    assert totals.keys() == {"same_text_in_two_groups", "single_variant_group", "likely_mislabelled"}


def test_it_is_well_formed_and_needs_nothing_from_elsewhere(report: dict[str, Any], texts: dict[str, str]) -> None:
    page = page_of(report, texts)
    tree = parsed(page)
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & {found.tag for found in tree.iter()}
    assert not [
        name for found in tree.iter() for name in found.attrib if name.startswith("on") or name in ("src", "href")
    ]
    style = tree.findtext("head/style") or ""
    assert "prefers-color-scheme: dark" in style and "url(" not in style and "@import" not in style
    assert 'name="viewport"' in page
    assert page == page_of(report, texts)


def test_the_verdict_comes_first_with_its_reasons(report: dict[str, Any], texts: dict[str, str]) -> None:
    shown, held_out = text_of(page_of(report, texts)), report["verdict"]["held_out"]
    verdict = "Release 4 was refused by the gate, judged against release 3"
    assert (
        f"{verdict}, on {held_out['n']} kept-out sentences of 5 groups and {held_out['out_of_scope']} sentences"
        in shown
    )
    order = [verdict, *report["verdict"]["reasons"], *report["verdict"]["notes"], "Figures", "Rules", "Confusions"]
    places = [shown.index(part) for part in order]
    assert places == sorted(places) and len(report["verdict"]["reasons"]) > 1
    passed = {**report, "verdict": {**report["verdict"], "passed": True, "reasons": []}}
    assert "Release 4 passed the gate" in text_of(page_of(passed, texts))


def test_every_metric_is_shown_with_its_interval(report: dict[str, Any], texts: dict[str, str]) -> None:
    sides = [report["verdict"]["metrics"][side] for side in ("candidate", "active")]
    expected = [
        [
            name,
            *(
                f"{per_cent(side[name]['value'])} ({100 * side[name]['low']:.1f} to {100 * side[name]['high']:.1f})"
                for side in sides
            ),
            f"{100 * (sides[0][name]['value'] - sides[1][name]['value']):+.1f}",
        ]
        for name in sides[0]
    ]
    assert len(expected) == 4
    assert cells(page_of(report, texts), "Figures") == expected


def test_every_rule_is_shown(report: dict[str, Any], texts: dict[str, str]) -> None:
    rows = cells(page_of(report, texts), "p: how likely")
    rules = report["verdict"]["rules"]
    assert [(row[0], row[1]) for row in rows] == [
        (rule["name"], "passed" if rule["passed"] else "failed") for rule in rules
    ]
    numbers = ("candidate", "active", "difference", "p_value", "n")
    for row, rule in zip(rows, rules, strict=True):
        for shown, name in zip(row[2:], numbers, strict=True):
            value = rule[name]
            assert shown == "–" if value is None else float(shown.replace(",", "")) == pytest.approx(value, rel=6e-4)


def test_the_worst_groups_are_shown(report: dict[str, Any], texts: dict[str, str]) -> None:
    groups = report["verdict"]["groups"]
    keys = ("recall", "recall_before", "precision", "precision_before")
    expected = [[g["group"], str(g["n"]), *(per_cent(g[key]) for key in keys)] for g in groups]
    assert cells(page_of(report, texts), "The worst") == expected
    many = [{**groups[0], "group": f"many{n}"} for n in range(MOST_GROUPS + 9)]
    page = page_of({**report, "verdict": {**report["verdict"], "groups": many}}, texts)
    assert [row[0] for row in cells(page, f"The worst {MOST_GROUPS} of {MOST_GROUPS + 9}")] == [
        f"many{n}" for n in range(MOST_GROUPS)
    ]


def test_confusions_are_shown_with_their_sentences_and_advice(report: dict[str, Any], texts: dict[str, str]) -> None:
    articles = [
        " ".join(" ".join(found.itertext()).split()) for found in parsed(page_of(report, texts)).iter("article")
    ]
    confusions = report["verdict"]["confusions"]
    wordings = {"move": "Move a sentence", "merge": "Merge the groups", "add_variants": "Add variants"}
    assert len(articles) == len(confusions)
    for shown, confusion in zip(articles, confusions, strict=True):
        assert shown.startswith(f"{confusion['group']} taken for {confusion['given']}: {confusion['n']} sentence")
        assert f"{wordings[confusion['advice']]}: {confusion['why']}" in " ".join(shown.split())
        for key in (*confusion["asked"], *confusion["caused_by"]):
            assert f"{texts[key]} {key}" in shown


def test_the_text_of_a_record_that_is_gone_is_gone(report: dict[str, Any], texts: dict[str, str]) -> None:
    key = report["verdict"]["confusions"][0]["asked"][0]
    assert f"{texts[key]} {key}" in text_of(page_of(report, texts))
    left = {other: text for other, text in texts.items() if other != key}
    shown = text_of(page_of(report, left))
    assert f"deleted {key}" in shown and texts[key] not in shown
    assert "deleted" not in text_of(page_of(report, texts))


def test_confidence_is_drawn(report: dict[str, Any], texts: dict[str, str]) -> None:
    page = page_of(report, texts)
    calibration = report["verdict"]["calibration"]
    shown = text_of(page)
    for side in ("candidate", "active"):
        assert per_cent(calibration[side]["ece"]) in shown
    titles = [found.text or "" for found in parsed(page).iter("title")]
    for part in (*calibration["candidate"]["bins"], *calibration["active"]["bins"]):
        told = f"{part['n']} decisions: confidence {per_cent(part['confidence'])}, right {per_cent(part['accuracy'])}"
        assert told in titles


def test_dots_stand_where_their_figures_are(report: dict[str, Any], texts: dict[str, str]) -> None:
    (curve,) = [svg for svg in parsed(page_of(report, texts)).iter("svg") if svg.get("viewBox") == "0 0 320 320"]
    (group,) = [found for found in curve.findall("g") if found.get("class") == "candidate"]
    dots = [(float(dot.get("cx") or 0), float(dot.get("cy") or 0)) for dot in group.findall("circle")]
    bins = report["verdict"]["calibration"]["candidate"]["bins"]
    expected = sorted((34 + 276 * part["confidence"], 286 - 276 * part["accuracy"]) for part in bins)
    assert sorted(dots) == [(pytest.approx(x, abs=0.06), pytest.approx(y, abs=0.06)) for x, y in expected]


def test_findings_settings_times_and_events_are_shown(report: dict[str, Any], texts: dict[str, str]) -> None:
    shown = text_of(page_of(report, texts))
    counts, totals = report["check"]["counts"], report["check"]["totals"]
    expected = [f"{name.replace('_', ' ')} {value:,}" for name, value in counts.items()]
    expected += [f"{kind.replace('_', ' ')}: {total}" for kind, total in totals.items()]
    expected += ["seq 4,711", "ab" * 32, "the same & more x<0>", "good morning everybody alone"]
    expected += ["recipe default", "epochs 12", "margin 0.35", "seed 7", "head_accuracy 0.8765", "seconds 81.5"]
    expected += ["max_drop.accuracy 0.01", "max_ece_rise 0.5", "threshold 0.7", "score knn"]
    expected += ["freeze 0.11 s", "train 1,333.33 s", "together 1,340.10 s"]
    expected += ["2026-11-29 07:08 UTC rolled back <i>ops</i> misses refunds"]
    expected += ["Made 2026-11-29T06:00:00+00:00 by key <ops>: more & better variants"]
    assert [part for part in expected if part not in shown] == []


def test_texts_are_escaped_and_cut(report: dict[str, Any], texts: dict[str, str]) -> None:
    key = report["verdict"]["confusions"][0]["asked"][0]
    evil = "</li><script>alert('x')</script>&amp;\x00\ud800 "
    page = page_of(report, {**texts, key: evil + "long " * 400})
    assert "<script" not in page and "alert(&#x27;x&#x27;)" in page and "&amp;amp;��" in page
    assert "long long long" in text_of(page) and "long " * 50 not in page


def test_a_release_that_was_trained_elsewhere_and_a_bare_report_have_pages(texts: dict[str, str]) -> None:
    bare = {"previous": 3, "training": None, "verdict": {"passed": True, "reasons": []}, "check": {"findings": []}}
    shown = text_of(page_of(bare, {}, ()))
    assert "Release 4 passed the gate, judged against release 3." in shown
    assert "trained elsewhere" in shown and "Nothing odd was found" in shown
    fatal = {**bare, "check": {"findings": [], "fatal": {"code": "too_few_groups", "detail": "add another"}}}
    assert "add another" in text_of(page_of(fatal, {}, ()))


def test_ids_are_named_once_and_bounded(report: dict[str, Any]) -> None:
    named = ids_named(report)
    assert len(named) == len(set(named)) > 10
    for confusion in report["verdict"]["confusions"]:
        assert set(named) >= {*confusion["asked"], *confusion["caused_by"]}
    finding = {"kind": "same", "detail": "", "groups": [], "ids": [f"i{n}" for n in range(MOST_SENTENCES + 5)]}
    many = [{**finding, "kind": f"k{n}", "ids": [f"{n}.{i}" for i in range(20)]} for n in range(400)]
    assert len(ids_named({"verdict": {}, "check": {"findings": [finding]}})) == MOST_SENTENCES
    assert len(ids_named({"verdict": {}, "check": {"findings": many}})) == MOST_TEXTS
