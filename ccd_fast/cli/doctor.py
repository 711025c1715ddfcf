"""``ccd-fast doctor``."""

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ccd_fast.cli import options, screen

COLOURS = {"works": "green", "installed": "green", "partly": "yellow", "missing": "yellow", "broken": "red"}


def doctor(
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", help="Load each library and try it, as is always done where there is a sign of a GPU."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    debug: options.Debug = False,
) -> None:
    """Look at what is here, what is not, and why, and say what this machine can do. Exit code 1 if something is broken.

    Example: `ccd-fast doctor`
    """
    from ccd_fast import doctor as library
    from ccd_fast.machine import device_names

    loads = thorough or device_names.may_have_a_gpu()
    if loads:
        typer.echo("loading each library to try it: some 10 to 20 seconds", err=True)
    findings = library.examine() if loads else library.glance()
    if as_json:
        typer.echo(json.dumps(library.summary(findings), indent=1))
    else:
        *others, here = findings
        table = Table()
        for column in ("part", "state", "detail"):
            table.add_column(column, overflow="fold")
        for finding in others:
            colour = COLOURS[finding.state]
            table.add_row(finding.part, f"[{colour}]{finding.state}[/{colour}]", escape(finding.detail))
        screen.show(table)
        if not loads:
            typer.echo("installed: is there, and was not loaded to try it; --thorough does")
        typer.echo(f"{here.part}: {here.detail}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
