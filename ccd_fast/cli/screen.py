"""What commands print: tables with lines around them on a terminal, plain lines elsewhere."""

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 100_000
"""Columns where no terminal is: nothing is folded, so that a row is a line for ``grep`` and ``awk``."""


def console() -> Console:
    """Give standard output: as wide as the terminal, or without an end where there is none."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def show(table: Table) -> None:
    """Print a table; where no terminal is, its rows are lines and its columns stand two blanks apart."""
    on = console()
    if on.is_terminal:
        on.print(table)
        return
    table.box, table.pad_edge, table.title_justify = None, False, "left"
    with on.capture() as captured:
        on.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())
