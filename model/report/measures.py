"""Sections on scores: the threshold, the calibration of confidences, the map of embeddings."""

from model.contract.markup import element, join, table
from model.report.charts import draw_map, draw_mark, draw_reliability, draw_scores
from model.report.data import ReportData
from model.report.section import Section
from model.report.wording import count


def thresholds(report: ReportData) -> Section | None:
    """Scores in and out of scope about the threshold."""
    spread = report.scores
    if spread is None:
        return None
    rows = [
        (row.kind, f"{row.n:,}", f"{row.n_answered:,}", f"{row.n - row.n_answered:,}", f"{row.n_answered / row.n:.1%}")
        for row in spread.histograms
    ]
    header = ("sentences", "all", "answered", "refused", "share answered")
    parts: list[str] = [draw_scores(spread), table(header, rows, caption="At this threshold", numeric=(1, 2, 3, 4))]
    if not report.sizes.n_out_of_scope:
        parts.append(element("p", f"No out-of-scope sentences were given{_stand_ins(report)}.", class_="soft"))
    if spread.answered_strangers:
        strangers = [(near.sentence, group, f"{near.score:.3f}") for near, group in spread.answered_strangers]
        caption = "Out-of-scope sentences that were answered, surest first"
        parts.append(table(("sentence", "answered", "score"), strangers, caption=caption, numeric=(2,)))
    return Section("thresholds", "Threshold", *parts)


def calibration(report: ReportData) -> Section | None:
    """The reliability curve with its counts."""
    found = report.calibration
    if found is None:
        return None
    note = (
        f"Calibration error (ece) {found.ece:.3f} on {count(found.n, 'decision')}; so few decisions make "
        f"{found.chance:.3f} by chance alone, even of perfect confidences. A match is right if its group is, a refusal "
        f"if the sentence is out of scope{_stand_ins(report)}."
    )
    rows = [(f"{bin.confidence:.3f}", f"{bin.accuracy:.3f}", f"{bin.n:,}") for bin in found.bins]
    header = ("mean confidence", "share right", "decisions")
    counts = table(header, rows, caption="Bins of equal mass", numeric=(0, 1, 2))
    both = element("div", draw_reliability(found), counts, class_="beside")
    return Section("calibration", "Calibration", element("p", note), both)


def embedding_map(report: ReportData) -> Section | None:
    """Some sentences in the plane."""
    chart = report.map
    if chart is None:
        return None
    shown = [[point for point in chart.points if point.slot == slot] for slot in range(len(chart.groups))]
    rows = [
        (join(draw_mark(slot), " ", group), str(len(points)), str(sum(point.held_out for point in points)))
        for slot, (group, points) in enumerate(zip(chart.groups, shown, strict=True))
    ]
    header = ("group", "sentences shown", "held out")
    legend = table(header, rows, caption="Groups of the two pairs most confused, then the largest", numeric=(1, 2))
    return Section("map", "Embedding map", draw_map(chart), legend)


def _stand_ins(report: ReportData) -> str:
    if report.sizes.n_out_of_scope or report.scores is None:
        return ""
    if not report.scores.n_made:
        return "; none could be made of single words"
    return "; sentences made of yours, their telling words exchanged, stand in for them"
