"""Sentences and names cut to the length that a report has room for, and figures in words."""

MOST_SENTENCE_CHARS = 160
_MOST_NAME_CHARS = 60


def shorten(sentence: str, most: int = MOST_SENTENCE_CHARS) -> str:
    """The sentence, or its beginning with an ellipsis."""
    return sentence if len(sentence) <= most else sentence[: most - 1].rstrip() + "…"


def shorten_name(name: str) -> str:
    """A group's or setting's name, cut likewise."""
    return shorten(name, _MOST_NAME_CHARS)


def count(n: int, singular: str, plural: str = "") -> str:
    """`1 sentence`, `1,200 sentences`."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def figure(value: float) -> str:
    """Four significant digits without an exponent where that is readable."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.1e}"
