"""``ccd-fast review``."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from ccd_fast.cli import next_steps, options

SHOWN = 5
"""Unreadable photographs that are named."""


def review(
    run: options.Run,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="By default review.html, or .json for Label Studio, in RUN.")
    ] = None,
    format_: Annotated[
        Literal["page", "label-studio", "both"] | None,
        typer.Option("--format", help="A page to correct them on, Label Studio's tasks, or both; by default the page."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="So many photographs at most.")] = 100,
    device: options.Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that review did not write.")] = False,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Write what is worth a person's minute first: the photographs that student and labels doubt most.

    The page needs a browser and nothing else: keys and clicks turn classes on and off, and what was accepted is
    downloaded as a table. That table, or Label Studio's export, goes to `train --known`: what it tells is pinned, and
    the rest is learned. Photographs that the run was told all about are left out.

    Example: `ccd-fast review runs/photos --top 50`
    """
    from ccd_fast.outputs import places
    from ccd_fast.recipes import config
    from ccd_fast.runs.free import refuse_no_run

    files = places.reviews(run, out, format_)
    refuse_no_run(run)  # before its own folder is said to be none for the page
    options.refuse_at_once(device, lambda: places.refuse_taken_reviews(files, overwrite))
    options.decode_early(device, config.of_run(run).views.backend)

    from ccd_fast import machine
    from ccd_fast.report import review as library

    machine.keep_freed_memory()
    found = library.look(run, top, options.stages(), options.where(device))
    written = []
    for kind, file in files.items():
        written += library.WRITERS[kind](found, run.resolve().name, file)
    if json_:
        chosen = [found.album.images.paths[row] for row in found.rows]
        typer.echo(json.dumps({"files": [str(file) for file in written], "photographs": chosen}))
    else:
        typer.echo(f"written to {', '.join(map(str, written))}: the {len(found.rows)} photographs to look at first")
        typer.echo("then, with the file that the page downloads, or Label Studio exports:")
        typer.echo(f"  {next_steps.after_review(run)}")
    for row, reason in list(found.unreadable.items())[:SHOWN]:
        options.warn(f"{found.album.images.paths[row]}: {reason}")
