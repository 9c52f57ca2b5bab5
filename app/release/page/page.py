"""The whole page as one HTML file: no script, no font, no picture from anywhere else."""

from importlib.resources import files
from typing import Final

from app.release.page.advice import draw_confusions, draw_data
from app.release.page.judgement import draw_confidence, draw_figures, draw_groups, draw_rules, draw_verdict
from app.release.page.making import draw_events, draw_settings, draw_times
from app.release.page.source import PageSource
from model.contract.markup import Html, element

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}
"""The page needs nothing but itself, and what it says of a record ends with the record."""

_SECTIONS: Final = (
    draw_verdict,
    draw_figures,
    draw_rules,
    draw_confusions,
    draw_groups,
    draw_confidence,
    draw_data,
    draw_settings,
    draw_times,
    draw_events,
)


def render(source: PageSource) -> str:
    """The page, well-formed as HTML and as XML; the same source gives the same text."""
    title = f"Release {source.number} of {source.collection}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(files("app.release.page").joinpath("style.css").read_text(encoding="utf-8"))),
    )
    sections = [section for draw in _SECTIONS if (section := draw(source)) is not None]
    header = element("header", element("h1", title), element("p", _made(source), class_="soft"))
    return "<!DOCTYPE html>\n" + element("html", head, element("body", header, *sections), lang="en") + "\n"


def _made(source: PageSource) -> str:
    report = source.report
    made = f"Made {report['made_at']} by {report['who']}" if report.get("made_at") else ""
    return f"{made}: {report['why']}" if report.get("why") else made
