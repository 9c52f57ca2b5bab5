"""Text of other people, made fit to be shown on a terminal."""

import re
from typing import Final

_COMMANDS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls but line feed and tab, what turns the direction of writing, and halves of pairs, which nobody can encode."""


def harmless(text: str) -> str:
    r"""The text with what a terminal would obey, or hide, as \u001b; JSON stays the same JSON."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
