"""``ccd-fast report``."""

from pathlib import Path
from typing import Annotated

import typer

from ccd_fast.cli import options


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run that has ended.")],
    pictures: Annotated[
        int, typer.Option(min=0, help="Photographs whose labels changed most, so many at most; 0: no pictures at all.")
    ] = 24,
    min_positives: options.MinPositives = 0,
    debug: options.Debug = False,
) -> None:
    """Write a page on a run, `report.html` in its folder: labels with examples, results, changes, time.

    `train` and `demo` write it at their end. The page needs no network, and can be sent as it is: it holds small copies
    of the photographs that it shows.

    Example: `ccd-fast report runs/mine`
    """
    from ccd_fast.runs.free import refuse_no_run

    refuse_no_run(run)  # before anything large is loaded

    from ccd_fast import report as library

    typer.echo(f"written to {library.write(run, pictures, min_positives)}")


def write_or_say(run: Path, on_stderr: bool = False) -> None:
    """Write the page at the end of a run; if that fails, say so, as the run itself is whole."""
    import sys

    from ccd_fast import report as library

    try:
        print(f"a page on it: {library.write(run)}", file=sys.stderr if on_stderr else sys.stdout)
    except Exception as error:  # noqa: BLE001  a page must not make a finished run fail
        reason = " ".join(str(error).split())
        print(f"ccd-fast: warning: no report.html: {type(error).__name__}: {reason}", file=sys.stderr)
