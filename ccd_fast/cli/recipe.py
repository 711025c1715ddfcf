"""``ccd-fast recipe``."""

from typing import Annotated

import typer

from ccd_fast.cli import completion, options


def recipe(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME|FILE]",
            autocompletion=completion.recipes,
            help="A built-in recipe or a TOML file.",
            show_default=True,
        ),
    ] = "folder",
    set_: options.Set = None,
    debug: options.Debug = False,
) -> None:
    """Print a recipe: every knob with its value, what it means and what it allows. The output is a recipe itself.

    Example: `ccd-fast recipe paper-voc12 > mine.toml`
    """
    from ccd_fast.recipes import config

    typer.echo(annotated(config.load(name, list(set_ or [])).dumps(), config.knobs()), nl=False)


def annotated(toml: str, meanings: dict[str, str]) -> str:
    """Put above each knob of a recipe what it means.

    Args:
        toml: one table a section, one line a knob; a list may go on over further lines.
        meanings: by ``section.knob``.
    """
    lines, section = [], ""
    for line in toml.splitlines():
        key = line.partition(" = ")[0]
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif section + key in meanings:
            lines.append(f"# {meanings[section + key]}")
        lines.append(line)
    return "\n".join(lines) + "\n"
