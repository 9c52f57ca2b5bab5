"""How a release was made: training, settings, thresholds, times, and what happened to it since."""

from collections.abc import Mapping
from typing import Any

from app.release.page.source import PageSource
from app.release.page.wording import flat, pairs
from model.contract.markup import Html, element, join, table


def draw_settings(source: PageSource) -> Html:
    """Of the training, of the gate, and the thresholds that came of it."""
    training = source.report.get("training")
    parts = [element("h2", "Settings")]
    if training is None:
        parts.append(element("p", "Its encoder was trained elsewhere."))
    else:
        chosen = {"recipe": training["recipe"], "seed": training["seed"], **training["settings"]}
        parts += [_named("Training", chosen), _named("Metrics of the training", training["metrics"])]
    parts.append(_named("Thresholds", source.verdict.get("thresholds", {})))
    parts.append(_named("Rules of the gate that were set", source.report.get("gate") or {}))
    return element("section", *parts)


def draw_times(source: PageSource) -> Html:
    """What each step took."""
    seconds = source.report.get("seconds", {})
    steps = [(name, f"{taken:,.2f} s") for name, taken in seconds.items()]
    total = ("together", f"{sum(seconds.values()):,.2f} s")
    return element("section", element("h2", "Times"), pairs([*steps, total]))


def draw_events(source: PageSource) -> Html | None:
    """Who did what to the release, when and why."""
    if not source.events:
        return None
    rows = [
        (event.at.strftime("%Y-%m-%d %H:%M UTC"), event.action.replace("_", " "), event.who, event.why)
        for event in source.events
    ]
    header = ("when", "what", "who", "why")
    return element("section", element("h2", "Events"), table(header, rows, caption="Newest first"))


def _named(title: str, values: Mapping[str, Any]) -> Html:
    return join(element("h3", title), pairs(flat(values))) if values else Html()
