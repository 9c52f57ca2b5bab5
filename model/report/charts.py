"""The report's pictures: curves, reliability, score histograms, embedding map. Shape and place tell as colour does."""

from model.contract.markup import Html, element, join
from model.report.axes import Frame, Scale, captioned, drawing, place
from model.report.data import Calibration, Curve, EmbeddingMap, MapPoint, ScoreHistogram, ScoreSpread
from model.report.wording import figure

_MARKS = (
    "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0Z",  # circle
    "M-3.2 -3.2H3.2V3.2H-3.2Z",  # square
    "M0 -4.2L4 3H-4Z",  # triangle
    "M0 -4.6L4.2 0L0 4.6L-4.2 0Z",  # diamond
    "M0 4.2L4 -3H-4Z",  # triangle on its head
    "M-1.5 -4.2H1.5V-1.5H4.2V1.5H1.5V4.2H-1.5V1.5H-4.2V-1.5H-1.5Z",  # plus
    "M0 -4.6L1.3 -1.5L4.5 -1.4L2 .7L2.8 3.9L0 2.1L-2.8 3.9L-2 .7L-4.5 -1.4L-1.3 -1.5Z",  # star
)
_DOT = "M-2 0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0Z"


def draw_curve(curve: Curve, kept_epoch: int | None) -> Html:
    """One scalar by epoch, the chosen epoch marked."""
    x = Scale(curve.epochs[0], curve.epochs[-1], 44, 312)
    y = _padded(min(curve.values), max(curve.values), bottom=128, top=22)
    points = list(zip(curve.epochs, curve.values, strict=True))
    line = element("polyline", points=place(points, lambda a, b: (x(a), y(b))))
    dots = [
        element("circle", element("title", f"epoch {epoch}: {figure(value)}"), cx=x(epoch), cy=y(value), r=2.6)
        for epoch, value in points[-60:]
    ]
    mark = ""
    if kept_epoch is not None and curve.epochs[0] <= kept_epoch <= curve.epochs[-1]:
        mark = element("line", x1=x(kept_epoch), x2=x(kept_epoch), y1=22, y2=128, class_="mark")
    name = element("text", curve.name, x=4, y=12, class_="name")
    title = f"{curve.name} by epoch, from {figure(curve.values[0])} to {figure(curve.values[-1])}"
    frame = Frame(x, y, "epoch").draw()
    picture = drawing(320, 162, title, name, frame, mark, line, element("g", *dots, class_="fill0"))
    first, last = (f"{figure(curve.values[at])} at epoch {curve.epochs[at]}" for at in (0, -1))
    return captioned(first if first == last else f"{first}, {last}", picture)


def draw_reliability(calibration: Calibration) -> Html:
    """Confidence against the share that is right, with one standard error, and how many decisions stand behind it."""
    x, y = Scale(0, 1, 44, 372), Scale(0, 1, 266, 20)
    most = max(bin.n for bin in calibration.bins)
    marks = []
    for bin in calibration.bins:
        error = (bin.accuracy * (1 - bin.accuracy) / bin.n) ** 0.5
        low, high = y(max(0.0, bin.accuracy - error)), y(min(1.0, bin.accuracy + error))
        label = f"{bin.n} decisions: confidence {bin.confidence:.2f}, right {bin.accuracy:.2f}"
        radius = 2 + 4 * (bin.n / most) ** 0.5
        across = x(bin.confidence)
        marks.append(element("line", x1=across, x2=across, y1=low, y2=high, class_="whisker"))
        marks.append(element("circle", element("title", label), cx=across, cy=y(bin.accuracy), r=radius))
    diagonal = element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="mark")
    frame = Frame(x, y, "confidence", "share that is right").draw()
    title = f"Reliability: calibration error {calibration.ece:.3f} on {calibration.n} decisions"
    picture = drawing(384, 300, title, frame, diagonal, element("g", *marks, class_="fill0"))
    caption = "On the dashed line a confidence is what it says. Each point is a bin, its bar one standard error."
    return captioned(caption, picture)


_ROW_HEIGHT = 78


def draw_scores(spread: ScoreSpread) -> Html:
    """A histogram for each kind of sentence, one above the other, with the threshold through all."""
    x = Scale(spread.edges[0], spread.edges[-1], 12, 628)
    bottom = 10 + _ROW_HEIGHT * len(spread.histograms)
    rows = [
        _draw_histogram(histogram, spread.edges, x, bottom=10 + _ROW_HEIGHT * (number + 1), slot=number)
        for number, histogram in enumerate(spread.histograms)
    ]
    place_of_cut = x(spread.threshold)
    cut = element("line", x1=place_of_cut, x2=place_of_cut, y1=6, y2=bottom, class_="mark")
    flush = "end" if place_of_cut > 500 else "start"
    away = -5 if flush == "end" else 5
    label = element("text", f"threshold {spread.threshold:.3f}", x=place_of_cut + away, y=12, text_anchor=flush)
    frame = Frame(x, Scale(0, 1, bottom, 10), "best score", y_ticks=False).draw()
    title = f"Histograms of the best score; threshold {spread.threshold:.3f}"
    picture = drawing(640, bottom + 34, title, frame, *rows, cut, label)
    return captioned("Left of the dashed line, the threshold, a sentence is refused; right of it, answered.", picture)


def draw_map(chart: EmbeddingMap) -> Html:
    """The sentences in the plane; colour and shape say the group, faint is training, full is held out."""
    x, y = Scale(0, 1, 12, 748), Scale(0, 1, 468, 12)
    ordered = sorted(chart.points, key=lambda point: (point.slot is not None, point.held_out))
    marks = [_draw_point(point, x(point.x), y(point.y)) for point in ordered]
    picture = drawing(760, 480, "Map of the embeddings", *marks)
    caption = (
        "Near points have near embeddings, as far as a plane allows; distances across the map mean little. "
        "Faint: training. Full: held out. Small grey dots: other groups."
    )
    return captioned(caption, picture)


def draw_mark(slot: int) -> Html:
    """The mark of a named group, for a legend."""
    return element(
        "svg",
        element("path", d=_MARKS[slot], class_=f"fill{slot}", transform="translate(7 7)"),
        viewBox="0 0 14 14",
        class_="mark-of",
        aria_hidden="true",
    )


def _draw_point(point: MapPoint, x: float, y: float) -> Html:
    kind = "other" if point.slot is None else f"fill{point.slot}"
    role = "held out" if point.held_out else "training"
    return element(
        "path",
        element("title", f"{point.group} ({role}): {point.sentence}"),
        d=_DOT if point.slot is None else _MARKS[point.slot],
        class_=kind if point.held_out else f"{kind} trained",
        transform=f"translate({x:.1f} {y:.1f})",
    )


def _draw_histogram(histogram: ScoreHistogram, edges: tuple[float, ...], x: Scale, *, bottom: float, slot: int) -> Html:
    height = Scale(0, max(1, *histogram.counts), 0, _ROW_HEIGHT - 26)
    bars = [
        element(
            "rect",
            element("title", f"{low:.2f} to {high:.2f}: {count}"),
            x=x(low),
            y=bottom - height(count),
            width=max(0.5, x(high) - x(low) - 1),
            height=height(count),
            class_=f"fill{slot}",
        )
        for low, high, count in zip(edges[:-1], edges[1:], histogram.counts, strict=True)
        if count
    ]
    ground = element("line", x1=x.start, x2=x.end, y1=bottom, y2=bottom, class_="axis")
    name = f"{histogram.kind}: {histogram.n:,}"
    return join(ground, *bars, element("text", name, x=x.start, y=bottom - _ROW_HEIGHT + 24, class_="name"))


def _padded(low: float, high: float, *, bottom: float, top: float) -> Scale:
    """A scale with some air, so that a line does not run along its edge."""
    air = 0.06 * (high - low) or max(abs(high) * 0.1, 1e-9)
    return Scale(low - air, high + air, bottom, top)
