"""Sentences and names cut and set for the room that a report has, and figures in words."""

import re

from model.contract.markup import Html, element, join

MOST_SENTENCE_CHARS = 160
_MOST_NAME_CHARS = 60


def shorten(sentence: str, most: int = MOST_SENTENCE_CHARS) -> str:
    """The sentence, or its beginning with an ellipsis."""
    return sentence if len(sentence) <= most else sentence[: most - 1].rstrip() + "…"


def shorten_name(name: str) -> str:
    """A group's or setting's name, cut likewise."""
    return shorten(name, _MOST_NAME_CHARS)


def breakable(name: str) -> Html:
    """A name that may be broken after an underscore, hyphen, dot or slash."""
    pieces = re.split(r"(?<=[_\-./])(?=[^_\-./])", name)
    return join(*(piece if number == 0 else join(element("wbr"), piece) for number, piece in enumerate(pieces)))


def with_options(sentence: str) -> Html:
    """A sentence whose command-line options (`--set`) are set as code, which does not break at a hyphen."""
    pieces = re.split(r"(?<!\S)(--[a-z-]+)", sentence)
    return join(*(element("code", piece) if number % 2 else piece for number, piece in enumerate(pieces)))


def count(n: int, singular: str) -> str:
    """`1 sentence`, `1,200 sentences`."""
    return f"{n:,} {singular}{'' if n == 1 else 's'}"


def figure(value: float) -> str:
    """Four significant digits without an exponent where that is readable."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.1e}"
