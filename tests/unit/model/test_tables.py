"""Tables of commands: nothing in them is cut, wherever they are printed."""

import io
import json
import sys
import unicodedata

import pytest

from model.contract.tables import ShownTable

_ID = "0123456789abcdef0123456789abcdef"
_ROW = (_ID, "import", "a-collection-of-a-long-name", "failed: too_many_rejected", "2026-11-29 14:33:22")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _jobs(*rows: tuple[str, ...]) -> ShownTable:
    table = ShownTable("id", "type", "collection", "state", "began")
    for row in rows:
        table.add(*row)
    return table


def _cells(shown: str) -> list[list[str]]:
    """What stands in the rows' lines, cell by cell."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]


def test_a_pipe_gets_each_row_in_one_line_however_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = (*_ROW[:-1], "word " * 500 + "end")
    _jobs(_ROW, long).print()
    assert _cells(capsys.readouterr().out) == [list(_ROW), list(long)]


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_a_terminal_folds_names_and_keeps_ids_whole(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    _jobs(_ROW).print()
    shown = terminal.getvalue()
    assert "…" not in shown and max(map(len, shown.splitlines())) <= columns
    lines = _cells(shown)
    assert lines[0][0] == _ID
    for place, whole in enumerate(_ROW):
        assert "".join(line[place] for line in lines).replace(" ", "") == whole.replace(" ", "")


@pytest.mark.parametrize("key", ["k" * 200, "退" * 30])
def test_a_long_id_of_the_users_own_is_folded(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("TERM", "dumb")
    table = ShownTable("id", "text")
    table.add(key, "a sentence")
    table.print()
    lines = _cells(terminal.getvalue())
    assert "".join(line[0] for line in lines) == key
    assert " ".join(line[1] for line in lines).strip() == "a sentence"


def test_what_looks_like_markup_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    table = ShownTable("why")
    table.add("[bold]because[/] [/nothing]")
    table.print()
    assert "[bold]because[/] [/nothing]" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    ["\x1b]52;c;cm0gLXJm\x07", "\x1b[2J", "\x9b31m", "a\rb", "\x00\x08\x7f\x85", "\u202egnp.exe", "\u2066x\u2069"],
)
def test_what_a_terminal_would_obey_is_shown_instead(capsys: pytest.CaptureFixture[str], text: str) -> None:
    table = ShownTable("text")
    table.add(f"退款 {text} end")
    table.print()
    shown = capsys.readouterr().out
    assert not [sign for sign in shown if unicodedata.category(sign) in ("Cc", "Cf") and sign != "\n"]
    assert json.loads(f'"{_cells(shown)[0][0]}"') == f"退款 {text} end"


def test_lines_of_a_cell_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table = ShownTable("texts")
    table.add("one\ntwo")
    table.print()
    assert _cells(capsys.readouterr().out) == [["one"], ["two"]]
