"""Figures and sentences as a page shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from model.contract.markup import Html, element, escape

DELETED: Final = "deleted"
NONE: Final = "–"

_MOST_CHARS: Final = 200


def percent(share: float | None) -> str:
    """A share with one decimal, a dash where there is none."""
    return NONE if share is None else f"{100 * share:.1f} %"


def points(difference: float | None) -> str:
    """The difference of two shares, in points."""
    return NONE if difference is None else f"{100 * difference:+.1f}"


def figure(value: float | None) -> str:
    """Four significant digits, whole numbers as they are."""
    if value is None:
        return NONE
    return f"{int(value):,}" if value == int(value) and abs(value) < 1e9 else f"{value:.4g}"


def count(n: int, singular: str) -> str:
    """`1 sentence`, `1,200 sentences`."""
    return f"{n:,} {singular}{'' if n == 1 else 's'}"


def bullets(items: Sequence[str]) -> Html:
    """A list, nothing where it is empty."""
    return element("ul", *(element("li", item) for item in items)) if items else Html()


def pairs(values: Sequence[tuple[str, str]]) -> Html:
    """Names and values, one below the other."""
    rows = (element("div", element("dt", name), element("dd", value)) for name, value in values)
    return element("dl", *rows, class_="pairs")


def worded(name: str) -> str:
    """A name of the report without its underscores."""
    return name.replace("_", " ")


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values of settings, nested ones by their path."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{prefix}{name}.")
        else:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            found.append((f"{prefix}{name}", figure(value) if is_number else str(value)))
    return found


@dataclass(frozen=True, slots=True)
class Sentences:
    """What the records say now.

    Attributes:
        texts: By the client's id; a record that is not there any more is missing.
    """

    texts: Mapping[str, str]

    def show(self, key: str) -> Html:
        """A sentence, or its beginning, and its id; of a record that is gone, that it is."""
        name = element("span", key, class_="soft")
        if key not in self.texts:
            return Html(f"{element('em', DELETED)} {name}")
        text = self.texts[key]
        cut = text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1].rstrip() + "…"
        return Html(f"{escape(cut)} {name}")

    def show_all(self, keys: Sequence[str]) -> list[Html]:
        """One each."""
        return [self.show(key) for key in keys]
