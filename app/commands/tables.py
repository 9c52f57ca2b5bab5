"""Tables of the command line, of which nothing is cut."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_WIDEST = 10_000


def show(table: Table) -> None:
    """Print a table: on a terminal, what does not fit goes on in the next line; elsewhere it is as wide as it needs."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        unbounded = console.options.update(width=_WIDEST, max_width=_WIDEST)
        console = Console(soft_wrap=True, width=max(1, Measurement.get(console, unbounded, table).maximum))
    console.print(table)
