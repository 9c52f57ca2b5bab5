"""What is escaped before a terminal gets it, and what is not."""

import unicodedata

import pytest

from model.contract.terminal import harmless
from model.progress import say


def test_controls_and_turns_of_direction_are_escaped_and_nothing_else_is() -> None:
    """Against Unicode's own classes: controls, half pairs, and what turns the direction."""
    turning = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    for sign in map(chr, range(0x30000)):
        obeyed = unicodedata.category(sign) in ("Cc", "Cs") or unicodedata.bidirectional(sign) in turning
        assert (harmless(sign) != sign) == (obeyed and sign not in "\n\t"), hex(ord(sign))
    assert harmless("退款\x1b[2J\t\n") == "退款\\u001b[2J\t\n"


def test_the_trainer_says_nothing_that_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    say("to try: more sentences of \x1b[2J")
    assert capsys.readouterr().err == "to try: more sentences of \\u001b[2J\n"
