"""HTML that is safe by construction: a string becomes markup only by being escaped or by being built here."""

import html
import re
from collections.abc import Sequence

_VOID = frozenset({"meta", "wbr", "line", "circle", "rect", "path", "polyline", "polygon"})
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Html(str):
    """Markup to be put into a page as it is."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Text as markup; what no HTML file may hold (control characters, lone surrogates) becomes U+FFFD."""
    return Html(html.escape(_NOT_XML.sub("�", text)))


def element(name: str, /, *children: str, **attributes: str | float | None) -> Html:
    """An element, closed.

    Args:
        name: Of the element.
        children: `Html` is taken as it is, any other string is escaped.
        attributes: `class_` stands for `class`, an underscore elsewhere for a hyphen; None leaves one out. Numbers are
            rounded to a tenth, a tenth of a pixel in drawings.
    """
    opening = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    if name in _VOID and not children:
        return Html(f"<{name}{opening}/>")
    return Html(f"<{name}{opening}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Several pieces as one."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str, numeric: Sequence[int] = ()) -> Html:
    """A table with a header row; the first cell of each row heads it, `numeric` columns are set flush right."""
    kinds = ["number" if column in numeric else None for column in range(len(header))]
    head = [element("th", cell, scope="col", class_=kind) for cell, kind in zip(header, kinds, strict=True)]
    body = [
        element(
            "tr",
            *(
                element("td" if column else "th", cell, class_=kinds[column], scope=None if column else "row")
                for column, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
