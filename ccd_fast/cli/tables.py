"""Tables over seeds, and the outlook of a reproduction, on the terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ccd_fast.datasets import ImageSet
    from ccd_fast.studies.reproduction import Outlook
    from ccd_fast.studies.seed_table import SeedTable


def show(table: "SeedTable") -> None:
    """Print a table over seeds, with its notes."""
    console = Console()
    printed = Table(title=table.title)
    for place, title in enumerate(table.head()):
        printed.add_column(title, justify="right" if place else "left")
    for row in table.texts():
        printed.add_row(*row)
    console.print(printed)
    for note in table.notes:
        console.print(f"- {note}", markup=False, highlight=False)
    console.print()


def show_outlook(outlook: "Outlook", images: "ImageSet", test: "ImageSet") -> None:
    """Print what a reproduction would do."""
    printed = Table(title="nothing was run", show_header=False)
    printed.add_column(no_wrap=True)
    printed.add_column(overflow="fold")
    for split in (images, test):
        official = f" (officially {split.official:,})" if split.official else ""
        printed.add_row(f"{split.split} images", f"{len(split):,}{official}, {split.root}")
    printed.add_row("teacher", outlook.teacher.says())
    printed.add_row("student", outlook.student.says())
    printed.add_row("unlike the paper", ", ".join(outlook.differences) or "nothing")
    for step in outlook.steps:
        printed.add_row("would run", step)
    Console().print(printed)
