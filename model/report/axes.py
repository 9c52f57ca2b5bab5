"""From values to places in a drawing: linear scales, round ticks, and the frame they are drawn in."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.contract.markup import Html, element, join
from model.report.wording import figure


@dataclass(frozen=True, slots=True)
class Scale:
    """Values in [low, high] to pixels in [start, end]; `start` may be the larger one."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; a scale of one value only puts it in the middle."""
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int = 4) -> list[float]:
        """Round values inside, about as many as wanted."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        step = _round_step(span / wanted)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """The axes of a drawing.

    Args:
        x, y: Scales; y runs upwards.
        x_name, y_name: What they measure.
        y_ticks: Whether values of y are written.
    """

    x: Scale
    y: Scale
    x_name: str = ""
    y_name: str = ""
    y_ticks: bool = True

    def draw(self) -> Html:
        """Grid lines, values and names."""
        left, right, bottom, top = self.x.start, self.x.end, self.y.start, self.y.end
        across = [
            join(
                element("line", x1=left, x2=right, y1=self.y(value), y2=self.y(value), class_="axis"),
                element("text", figure(_clean(value)), x=left - 5, y=self.y(value) + 4, text_anchor="end"),
            )
            for value in (self.y.ticks() if self.y_ticks else [])
        ]
        below = [
            element("text", figure(_clean(value)), x=self.x(value), y=bottom + 14, text_anchor="middle")
            for value in self.x.ticks(5)
        ]
        names = [
            element("text", self.x_name, x=(left + right) / 2, y=bottom + 28, text_anchor="middle"),
            element("text", self.y_name, x=left, y=top - 6),
        ]
        ground = element("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis")
        return element("g", ground, *across, *below, *(name for name in names if not name.endswith("></text>")))


def drawing(width: float, height: float, title: str, *parts: str) -> Html:
    """An SVG picture that scales with the page; `title` is what a screen reader says."""
    return element(
        "svg", element("title", title), *parts, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=title
    )


def captioned(caption: str, *parts: str) -> Html:
    """A figure with its caption below."""
    return element("figure", *parts, element("figcaption", caption))


def place(values: Sequence[tuple[float, float]], position: Callable[[float, float], tuple[float, float]]) -> str:
    """Points of a polyline."""
    return " ".join("{:.1f},{:.1f}".format(*position(x, y)) for x, y in values)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)


def _clean(value: float) -> float:
    """Without the dust of multiplication: 0.30000000000000004 is 0.3."""
    return float(f"{value:.10g}")
