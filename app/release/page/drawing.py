"""The page's pictures: how sure a figure is, and whether confidence is what it says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.release.page.wording import percent
from model.contract.markup import Html, element

_WIDTH, _ROW = 360.0, 22.0
_LEFT, _RIGHT = 8.0, 352.0


def draw_intervals(candidate: Mapping[str, float], active: Mapping[str, float]) -> Html:
    """Two figures with their 95 % intervals on one scale from the least to the most, the new one above."""
    low, high = (f(found[key] for found in (candidate, active)) for f, key in ((min, "low"), (max, "high")))
    air = 0.1 * (high - low) or 0.01
    x = _scale(low - air, high + air, _LEFT, _RIGHT)
    rows = [
        element(
            "g",
            element("line", x1=x(found["low"]), x2=x(found["high"]), y1=y, y2=y),
            element("circle", cx=x(found["value"]), cy=y, r=4),
            class_=side,
        )
        for side, found, y in (("candidate", candidate, _ROW / 2), ("active", active, 1.5 * _ROW))
    ]
    told = f"now {percent(candidate['value'])}, before {percent(active['value'])}"
    return _picture(_WIDTH, 2 * _ROW, told, *rows)


_SIDE: Final = 320.0
_BEGIN, _END = 34.0, 310.0


def draw_calibration(candidate: Sequence[Mapping[str, Any]], active: Sequence[Mapping[str, Any]]) -> Html:
    """Confidence across, the share that is right upwards; on the dashed line a confidence is what it says."""
    x, y = _scale(0, 1, _BEGIN, _END), _scale(0, 1, _SIDE - _BEGIN, _SIDE - _END)
    diagonal = element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="mark")
    ticks = [element("text", percent(at / 4), x=x(at / 4), y=y(0) + 16, text_anchor="middle") for at in range(5)] + [
        element("text", f"{25 * at}", x=x(0) - 6, y=y(at / 4) + 4, text_anchor="end") for at in range(5)
    ]
    ground = element("polyline", points=f"{x(0)},{y(1)} {x(0)},{y(0)} {x(1)},{y(0)}", class_="axis")
    curves = [_curve(bins, side, x, y) for side, bins in (("active", active), ("candidate", candidate))]
    return _picture(_SIDE, _SIDE, "Share that is right by confidence", ground, diagonal, *ticks, *curves)


def _curve(
    bins: Sequence[Mapping[str, Any]], side: str, x: Callable[[float], float], y: Callable[[float], float]
) -> Html:
    ordered = sorted(bins, key=lambda part: float(part["confidence"]))
    places = [(x(part["confidence"]), y(part["accuracy"])) for part in ordered]
    dots = [
        element("circle", element("title", _told(part)), cx=across, cy=up, r=3.5)
        for part, (across, up) in zip(ordered, places, strict=True)
    ]
    line = element("polyline", points=" ".join(f"{across:.1f},{up:.1f}" for across, up in places))
    return element("g", line, *dots, class_=side)


def _told(part: Mapping[str, Any]) -> str:
    return f"{part['n']} decisions: confidence {percent(part['confidence'])}, right {percent(part['accuracy'])}"


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _picture(width: float, height: float, title: str, *parts: str) -> Html:
    drawn = element("title", title), *parts
    return element("svg", *drawn, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=title)
