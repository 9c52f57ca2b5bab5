"""What records, groups and labels may be called where they are stored: their names stand in the paths of URLs."""

import re
from typing import Final

MOST_ID_LENGTH: Final = 256
"""Characters of an id of a record or a group, or of a label."""

_UNFIT: Final = re.compile(r"[/\x00-\x1f\x7f-\x9f]")


def why_unfit(value: str) -> str | None:
    """What keeps this from standing in a path, with the remedy; None where nothing does.

    Clients and proxies rewrite dots.
    """
    if len(value) > MOST_ID_LENGTH:
        return f"has {len(value)} characters, the most is {MOST_ID_LENGTH}: shorten it"
    if value in (".", ".."):
        return "is a dot or two, which no path can name: use another id"
    if "\ufffd" in value:
        return "holds U+FFFD, which stands for text in a wrong encoding: send UTF-8"
    if _UNFIT.search(value):
        return "holds a slash or a control character: use other characters"
    if value != value.strip():
        return "begins or ends with white space, which nobody sees: remove it"
    return None
