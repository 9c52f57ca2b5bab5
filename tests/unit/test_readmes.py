"""The two READMEs say the same: links, commands and figures."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh.md"))


def links(text: str) -> list[str]:
    return sorted(re.findall(r"\]\(((?!README)[^)]+)\)", text))


def commands(text: str) -> list[list[str]]:
    """Of each line that is run: its words, but for comments, sentences, and names of groups, which may be either's."""
    lines = re.findall(r"^(?:\$ )?((?:samesay|curl|make) .*)$", "".join(text.split("```")[1::2]), re.MULTILINE)
    bare = (re.sub(r"\s+#.*|\"[^\"{}]*\"|\b(?:en|zh)_\w+", "", line) for line in lines)
    return [line.split() for line in bare]


def figures(text: str) -> list[tuple[list[str], str]]:
    """Of each row of the table of what was measured: the numbers, and the command."""
    rows = re.findall(r"^\|[^|]+\|([^|]+)\| (`make [^|]+`|`samesay [^|]+`|same|同上) \|$", text, re.MULTILINE)
    numbers = ((sorted(re.findall(r"\d[\d,.]*\d|\d", result)), command) for result, command in rows)
    return [(found, "same" if command == "同上" else command) for found, command in numbers]


@pytest.mark.parametrize("told", [links, commands, figures])
def test_both_readmes_say_the_same(told: Callable[[str], list[object]]) -> None:
    english, chinese = told(ENGLISH), told(CHINESE)
    assert len(english) > 10
    assert english == chinese
