"""``ccd-fast doctor``."""

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ccd_fast.cli import options, screen

COLOURS = {"works": "green", "partly": "yellow", "missing": "yellow", "broken": "red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    debug: options.Debug = False,
) -> None:
    """Look at what works on this machine, what does not, and why. Exit code 1 if something is broken.

    Example: `ccd-fast doctor`
    """
    from ccd_fast import doctor as library

    findings = library.examine()
    if as_json:
        typer.echo(json.dumps(library.summary(findings), indent=1))
    else:
        table = Table()
        for column in ("part", "state", "detail"):
            table.add_column(column, overflow="fold")
        for finding in findings:
            colour = COLOURS[finding.state]
            table.add_row(finding.part, f"[{colour}]{finding.state}[/{colour}]", escape(finding.detail))
        screen.show(table)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
