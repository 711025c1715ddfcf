"""``ccd-fast datasets``."""

import json

import typer
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import options, screen


def datasets(json_: options.Json = False, debug: options.Debug = False) -> None:
    """List the data sets that can be read: classes, official counts, where to get them, the tree on disk.

    Example: `ccd-fast datasets`
    """
    from ccd_fast.datasets import DATASETS

    if json_:
        typer.echo(json.dumps([described.record() for described in DATASETS.values()], indent=2))
        return
    console = screen.console()
    for described in DATASETS.values():
        table = Table(title=f"--dataset {described.name}: {described.title}", title_justify="left", show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("classes", str(len(described.class_names)) if described.class_names else "yours (--classes)")
        table.add_row("rules", Text(described.rules))
        for form in described.forms:
            table.add_section()
            table.add_row("form", Text(form.name))
            if form.images:
                table.add_row("images", f"{form.images['train']} train, {form.images['test']} test")
            table.add_row("from", Text(form.source))
            table.add_row("tree", Text(form.tree))
        screen.show(table)
        console.print()
