"""The whole report as one HTML file: no script, no font, no picture from anywhere else."""

from importlib.resources import files
from pathlib import Path

from model.contract.files import whole_file
from model.contract.markup import Html, element
from model.report.data import ReportData
from model.report.measures import calibration, embedding_map, thresholds
from model.report.mistakes import confusions, hardest, labels
from model.report.overview import curves, settings, summary, times

_TITLE = "Training report"

_SECTIONS = (
    summary,
    curves,
    confusions,
    hardest,
    labels,
    thresholds,
    calibration,
    embedding_map,
    settings,
    times,
)


def render(report: ReportData) -> str:
    """The page, well-formed as HTML and as XML; the same data gives the same text."""
    sections = [section for make in _SECTIONS if (section := make(report)) is not None]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", _TITLE),
        element("style", _style()),
    )
    links = element("nav", *(section.link() for section in sections), aria_label="Sections")
    main = element("main", *(section.draw() for section in sections))
    body = element("body", element("header", element("h1", _TITLE), links), main)
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def write_report(path: Path, report: ReportData) -> None:
    """Write the page so that it is there whole or not at all."""
    with whole_file(path) as file:
        file.write(render(report).encode())


def _style() -> Html:
    return Html(files("model.report").joinpath("style.css").read_text(encoding="utf-8"))
