"""What the gate said: the verdict in a sentence, figures with their intervals, and every rule."""

from collections.abc import Mapping
from typing import Any

from app.release.page.drawing import draw_calibration, draw_intervals
from app.release.page.source import MOST_GROUPS, PageSource
from app.release.page.wording import NONE, bullets, count, figure, percent, points
from model.contract.markup import Html, element, join, table

_KNOWN = "kept out"


def draw_verdict(source: PageSource) -> Html:
    """First of all: may it answer, and why not."""
    verdict, held_out = source.verdict, source.verdict.get("held_out", {})
    passed = verdict["passed"]
    outcome = "passed the gate" if passed else "was refused by the gate"
    against = f"Release {source.number} {outcome}, judged against release {source.previous}"
    asked = _asked(held_out) if held_out else ""
    return element(
        "section",
        element("p", f"{against}{asked}.", class_="verdict good" if passed else "verdict bad"),
        bullets(verdict["reasons"]),
        element("div", bullets(verdict.get("notes", ())), class_="soft"),
    )


def draw_figures(source: PageSource) -> Html | None:
    """Every metric of both with its 95 % interval."""
    metrics = source.verdict.get("metrics")
    if not metrics or not metrics["candidate"]:
        return None
    rows, pictures = [], []
    for name, now in metrics["candidate"].items():
        before = metrics["active"][name]
        rows.append((name, _with_interval(now), _with_interval(before), points(now["value"] - before["value"])))
        pictures.append(element("figure", element("figcaption", name), draw_intervals(now, before)))
    header = ("metric", f"release {source.number}", f"release {source.previous}", "difference, points")
    caption = "Figures on the kept-out sentences, with 95 % intervals"
    return element(
        "section",
        element("h2", "Figures"),
        table(header, rows, caption=caption, numeric=(1, 2, 3)),
        _legend(source),
        element("div", *pictures, class_="grid"),
        _training_data(source),
    )


def draw_rules(source: PageSource) -> Html | None:
    """What was asked of the candidate, and what came of it."""
    rules = source.verdict.get("rules")
    if not rules:
        return None
    rows = [
        (
            rule["name"],
            element("span", "passed", class_="good") if rule["passed"] else element("span", "failed", class_="bad"),
            figure(rule.get("candidate")),
            figure(rule.get("active")),
            figure(rule.get("difference")),
            figure(rule.get("p_value")),
            figure(rule.get("n")),
        )
        for rule in rules
    ]
    header = ("rule", "", "candidate", "compared with", "difference", "p", "sentences")
    caption = "p: how likely so large a loss is by chance if it is not worse (above_chance: so many right by chance)"
    return element("section", element("h2", "Rules"), table(header, rows, caption=caption, numeric=range(2, 7)))


def draw_groups(source: PageSource) -> Html | None:
    """The groups that are found worst."""
    groups = source.verdict.get("groups")
    if not groups:
        return None
    rows = [
        (
            found["group"],
            figure(found["n"]),
            percent(found["recall"]),
            percent(found["recall_before"]),
            percent(found["precision"]),
            percent(found["precision_before"]),
        )
        for found in groups[:MOST_GROUPS]
    ]
    header = ("group", "asked", "found", "before", "right where given", "before")
    caption = f"The worst {len(rows)} of {count(len(groups), 'group')} that were asked for"
    return element("section", element("h2", "Groups"), table(header, rows, caption=caption, numeric=range(1, 6)))


def draw_confidence(source: PageSource) -> Html | None:
    """Whether a confidence is what it says."""
    found = source.verdict.get("calibration")
    if not found or not found["candidate"]["bins"]:
        return None
    now, before = found["candidate"], found["active"]
    told = (
        f"The calibration error is {percent(now['ece'])}; release {source.previous} has {percent(before['ece'])}. "
        "On the dashed line a confidence is the share that is right; each dot is a tenth of the sentences."
    )
    return element(
        "section",
        element("h2", "Confidence"),
        element("p", told),
        _legend(source),
        element("figure", draw_calibration(now["bins"], before["bins"])),
    )


def _asked(held_out: Mapping[str, Any]) -> str:
    asked = f", on {count(held_out['n'], 'kept-out sentence')} of {count(held_out['groups'], 'group')}"
    strangers = held_out["out_of_scope"]
    asked += f" and {count(strangers, 'sentence')} out of scope" if strangers else ""
    left_out = held_out["left_out"]
    return f"{asked} ({left_out:,} more could not be asked: nothing like them is stored)" if left_out else asked


def _with_interval(found: Mapping[str, float]) -> str:
    return f"{percent(found['value'])} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def _legend(source: PageSource) -> Html:
    names = (("candidate", f"release {source.number}"), ("active", f"release {source.previous}"))
    return element("p", *(element("span", f"● {name} ", class_=side) for side, name in names), class_="legend")


def _training_data(source: PageSource) -> Html:
    known = source.verdict.get("training_data", {})
    names = {"candidate": source.number, "active": source.previous}
    told = [
        f"Release {names[side]} has {'not learned' if state == _KNOWN else 'perhaps learned'} from these sentences."
        for side, state in known.items()
    ]
    return join(*(element("p", sentence, class_="soft") for sentence in told)) if told else Html(NONE)
