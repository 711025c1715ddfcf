"""Tables over seeds, and the outlook of a reproduction, on the terminal."""

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccd_fast.datasets import ImageSet
    from ccd_fast.studies.reproduction import Outlook
    from ccd_fast.studies.seed_table import SeedTable


def give(tables: "Sequence[SeedTable]", as_json: bool) -> None:
    """Print tables over seeds, or the same as JSON."""
    if as_json:
        print(json.dumps([table.record() for table in tables], indent=1))
    else:
        show(tables)


def show(tables: "Sequence[SeedTable]") -> None:
    """Print tables over seeds, each with its own notes, and the notes that all share at the end."""
    console = screen.console()
    shared = [note for note in tables[0].notes if all(note in table.notes for table in tables)]
    for table in tables:
        printed = Table(title=table.title)
        for place, title in enumerate(table.head()):
            printed.add_column(title, justify="right" if place else "left", overflow="fold")
        for place, row in enumerate(table.texts()):
            if group := table.begins_group(place):
                printed.add_section()
                printed.add_row(Text(group, style="bold"))
            printed.add_row(*map(Text, row))
        screen.show(printed)
        _say(console, [note for note in table.notes if note not in shared])
    _say(console, shared)


def _say(console: Console, notes: "Sequence[str]") -> None:
    for note in notes:
        console.print(f"- {note}", markup=False, highlight=False)
    console.print()


def show_outlook(outlook: "Outlook", images: "ImageSet", test: "ImageSet") -> None:
    """Print what a reproduction would do."""
    printed = Table(title="nothing was run", show_header=False)
    printed.add_column(no_wrap=True)
    printed.add_column(overflow="fold")
    for split in (images, test):
        official = f" (officially {split.official:,})" if split.official else ""
        printed.add_row(f"{split.split} images", Text(f"{len(split):,}{official}, {split.root}"))
    printed.add_row("teacher", Text(outlook.teacher.says()))
    printed.add_row("student", Text(outlook.student.says()))
    printed.add_row("unlike the paper", Text(", ".join(outlook.differences) or "nothing"))
    for step in outlook.steps:
        printed.add_row("would run", Text(step))
    screen.show(printed)
