"""The tables that the commands of service and trainer print: nothing in them is cut."""

import sys
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from model.contract.terminal import harmless

_ROOM: Final = 1_000_000
"""Columns of a line where no terminal sets them: more than a table takes."""

_COPIED: Final = 32
"""Characters of an id that the service gives."""


class ShownTable:
    """A table of plain text: what a terminal has no room for is folded; a file or a pipe gets a row in one line.

    Args:
        headers: Of the columns. In one named "id" the service's own ids are never folded, so that they can be copied.
        options: Of rich's table.
    """

    def __init__(self, *headers: str, **options: Any) -> None:
        self._columns = [Column(header, overflow="fold") for header in headers]
        self._options = options
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        """Add a row; what looks like rich's markup is shown as it is, and what a terminal would obey is escaped."""
        self._rows.append(tuple(map(harmless, cells)))

    def print(self) -> None:
        """Print it to stdout."""
        for place, column in enumerate(self._columns):
            if column.header == "id":
                _keep_whole(column, [row[place] for row in self._rows])
        table = Table(*self._columns, **self._options)
        for row in self._rows:
            table.add_row(*map(Text, row))
        width = None if sys.stdout is not None and sys.stdout.isatty() else _ROOM
        Console(width=width, soft_wrap=True).print(table)


def _keep_whole(column: Column, cells: list[str]) -> None:
    widest = max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)
    if widest <= _COPIED:
        column.no_wrap, column.min_width = True, widest
