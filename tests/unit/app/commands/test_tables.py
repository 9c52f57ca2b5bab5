"""Tables keep all of their text, however narrow the place."""

import pytest
from rich.table import Table

from app.commands import tables


def make() -> Table:
    table = Table("id", "rule", "why")
    table.add_row("0123456789abcdef" * 2, "not_worse.hit_rate@10", "退款 " * 30)
    return table


def test_where_there_is_no_terminal_a_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(make())
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if "0123456789abcdef" * 2 in line]
    assert "not_worse.hit_rate@10" in row
    assert row.count("退款") == 30


def test_on_a_narrow_terminal_nothing_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("COLUMNS", "40")
    tables.show(make())
    text = capsys.readouterr().out
    assert "…" not in text
    cells = [line.split("│") for line in text.splitlines() if line.count("│") == 4]
    columns = ["".join(cell.strip() for cell in column) for column in list(zip(*cells, strict=True))[1:4]]
    assert columns[0] == "0123456789abcdef" * 2
    assert columns[1] == "not_worse.hit_rate@10"
    assert columns[2].count("退") == 30
