"""Sections on the run as a whole: summary, curves, settings, times."""

from collections.abc import Mapping, Sequence

from model.contract.markup import Html, element, table
from model.report.advice import advise
from model.report.charts import draw_curve
from model.report.data import ReportData, Sizes
from model.report.section import Section
from model.report.wording import count, figure, with_options

_MOST_EPOCH_ROWS = 100


def summary(report: ReportData) -> Section:
    """The metrics, what to try next, and what was chosen and why."""
    tiles = [_tile(name, value, report) for name, value in report.metrics.items()]
    if report.kept_epoch is not None:
        tiles.append(element("li", element("b", str(report.kept_epoch)), element("span", "epoch chosen")))
    return Section(
        "summary",
        "Summary",
        element("p", _describe(report.sizes)),
        element("ul", *tiles, class_="tiles") if tiles else element("p", "Nothing was held out: nothing is measured."),
        *_listed("What to try next", "ol", advise(report)),
        *_listed("What was chosen, and why", "ul", report.findings),
    )


def curves(report: ReportData) -> Section | None:
    """Every scalar by epoch."""
    if not report.curves:
        return None
    pictures = [draw_curve(curve, report.kept_epoch) for curve in report.curves]
    note = "The dashed line is the epoch that was chosen." if report.kept_epoch else "The last epoch was kept."
    grid = element("div", *pictures, class_="grid")
    return Section("curves", "Curves", element("p", note, class_="soft"), grid, _epoch_table(report))


def settings(report: ReportData) -> Section | None:
    """All settings, those chosen from the data included."""
    return Section("settings", "Settings", _pairs({name: str(value) for name, value in report.settings.items()}))


def times(report: ReportData) -> Section | None:
    """Seconds of the run's parts."""
    if not report.seconds:
        return None
    return Section("times", "Times", _pairs({name: f"{value:,.1f} s" for name, value in report.seconds.items()}))


def _describe(sizes: Sizes) -> str:
    training = count(sizes.n_train, "training sentence")
    facts = f"{training}, {sizes.n_held_out:,} held out, {sizes.n_out_of_scope:,} out of scope"
    if not sizes.n_groups:
        return facts + "."
    span = f"{sizes.smallest:,} to {sizes.largest:,}, median {figure(sizes.median)}"
    return f"{facts}; {count(sizes.n_groups, 'group')}, of {span} sentences."


def _tile(name: str, value: float, report: ReportData) -> Html:
    chosen = name == report.watched
    return element(
        "li",
        element("b", f"{value:.3f}"),
        element("span", f"{name} (watched)" if chosen else name),
        class_="watched" if chosen else None,
    )


def _listed(heading: str, kind: str, sentences: Sequence[str]) -> list[Html]:
    if not sentences:
        return []
    entries = [element("li", with_options(sentence)) for sentence in sentences]
    return [element("h3", heading), element(kind, *entries, class_="advice")]


def _epoch_table(report: ReportData) -> Html:
    epochs = sorted({epoch for curve in report.curves for epoch in curve.epochs})[-_MOST_EPOCH_ROWS:]
    values = [dict(zip(curve.epochs, curve.values, strict=True)) for curve in report.curves]
    rows = [(str(epoch), *(figure(of[epoch]) if epoch in of else "" for of in values)) for epoch in epochs]
    header = ("epoch", *(curve.name for curve in report.curves))
    figures = table(header, rows, caption="Figures by epoch", numeric=tuple(range(1, len(header))))
    return element("details", element("summary", "The same in figures"), figures)


def _pairs(values: Mapping[str, str]) -> Html:
    entries = [element("div", element("dt", name), element("dd", value)) for name, value in values.items()]
    return element("dl", *entries, class_="pairs columns")
