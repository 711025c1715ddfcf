"""``ccd-fast bench``: one sub-command a benchmark."""

import typer

app = typer.Typer(
    help="Measure what each part does a second on this machine, beside what the machine could do at most.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
