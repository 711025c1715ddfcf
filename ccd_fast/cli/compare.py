"""``ccd-fast compare``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ccd_fast.cli import options


def compare(
    out: Annotated[Path, typer.Option(help="Folder of the table and its runs.")],
    data_root: Annotated[Path, typer.Option(help="Folder that holds the data set.")],
    dataset: options.Dataset = "folder",
    classes: options.Classes = None,
    truth: options.Truth = None,
    systems: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,…",
            help="Which rows, joined by commas; by default all. Told all labels: bce, bce-ls; a tenth of them: sarb, "
            "asl, sst, ccd-partial; one positive an image: llr, g2netpl, ccd-one-positive; nothing: an, an-ls, wan, "
            "epr, role, cdul, ccd (docs/METHOD.md says what each is).",
        ),
    ] = None,
    seeds: options.Seeds = "0,1,2",
    min_positives: options.MinPositives = 0,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Freeze the student's backbone in every row: the table for a CPU.")
    ] = False,
    teacher: options.Teacher = None,
    templates: options.Templates = None,
    student: options.Student = None,
    student_weights: options.StudentWeights = None,
    recipe: options.Recipe = "folder",
    set_: options.Set = None,
    device: options.Device = "auto",
    json_: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Make the paper's main table: fourteen systems in one trainer, by what each is told of the labels.

    Groups: all labels, a tenth of them, one positive an image, none; CCD stands in the last three. The labels of the
    training images must be known (`--truth`) for the first three. Where the data set is the paper's, its figures stand
    beside. The same command goes on after an interruption; finished runs are kept.

    Example: `ccd-fast compare --frozen --data-root photos --classes classes.txt --truth labels.csv --out runs/table`
    """
    from ccd_fast.datasets import Source
    from ccd_fast.recipes import config
    from ccd_fast.runs.free import refuse_no_study

    source = Source(dataset, data_root, classes, truth)
    overrides = options.overrides(set_, teacher, student, student_weights, templates)
    options.refuse_at_once(
        device,
        lambda: refuse_no_study(out),
        source.check,
        lambda: options.refuse_teacher(config.load(recipe, overrides).teacher.model),
    )

    from ccd_fast import machine, studies
    from ccd_fast.cli import tables as printed
    from ccd_fast.report import comparison as page
    from ccd_fast.studies.comparison import ROWS

    machine.keep_freed_memory()
    asked = None if systems is None else options.listed(systems.lower(), "--systems")
    names = list(ROWS) if asked is None else options.each_of(asked, ROWS, "--systems")
    place = options.where(device)
    study = studies.Study(
        source=source,
        recipe=recipe,
        overrides=overrides,
        seeds=options.seeds(seeds, set_),
        out=out,
        stages=options.stages(),
        device=place,
        command=shlex.join(["ccd-fast", *sys.argv[1:]]),
        min_positives=min_positives,
    )
    options.goes_on_with("the same command: finished runs are kept")
    table = studies.compare(study, names, frozen)
    page.write(out, table)
    printed.give([table], json_)
    typer.echo(f"all in {out}: compare.md, compare.csv, compare.html, cells.csv, runs/", err=json_)
