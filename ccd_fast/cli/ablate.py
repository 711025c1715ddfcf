"""``ccd-fast ablate``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ccd_fast.cli import options

TABLES = ("components", "classes", "views")


def ablate(
    out: Annotated[Path, typer.Option(help="Folder of the tables and their runs.")],
    data_root: Annotated[Path, typer.Option(help="Folder that holds the data set.")],
    dataset: options.Dataset = "folder",
    classes: options.Classes = None,
    truth: options.Truth = None,
    boxes: options.Boxes = None,
    tables: Annotated[
        str,
        typer.Option(
            help="Which tables, joined by commas: components (each part of the method left out in turn), classes "
            "(debiasing by class), views (where the teacher looks)."
        ),
    ] = ",".join(TABLES),
    seeds: options.Seeds = "0,1,2",
    frozen: Annotated[
        bool,
        typer.Option(
            "--frozen", help="Freeze the student's backbone, which is faster; the full method is trained in full too."
        ),
    ] = False,
    in_full: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --frozen: for how many of the seeds the full method is trained in full; by default 1."
        ),
    ] = None,
    teacher: options.Teacher = None,
    templates: options.Templates = None,
    student: options.Student = None,
    student_weights: options.StudentWeights = None,
    recipe: options.Recipe = "folder",
    set_: options.Set = None,
    min_positives: options.MinPositives = 0,
    device: options.Device = "auto",
    json_: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Make the paper's tables for any data set with known labels, over several seeds.

    Where the data set is the paper's, the paper's figures stand beside. The same command goes on after an interruption;
    finished runs are kept. Tables are written as CSV and Markdown after each run.

    Example: `ccd-fast ablate --data-root photos --classes classes.txt --truth labels.csv --out runs/tables`
    """
    from ccd_fast.errors import UserError

    if in_full is not None and not frozen:
        raise UserError("--in-full: without --frozen every row is trained in full")

    from ccd_fast.datasets import Source
    from ccd_fast.recipes import config
    from ccd_fast.runs.free import refuse_no_study

    source = Source(dataset, data_root, classes, truth, boxes)
    overrides = options.overrides(set_, teacher, student, student_weights, templates)
    names = options.each_of(options.listed(tables, "--tables"), TABLES, "--tables")
    options.refuse_at_once(
        device,
        lambda: refuse_no_study(out),
        source.check,
        lambda: options.refuse_teacher(config.load(recipe, overrides).teacher.model),
    )

    from ccd_fast import machine, studies
    from ccd_fast.cli import tables as printed

    machine.keep_freed_memory()
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
    printed.give(studies.ablate(study, names, frozen, in_full or 1), json_)
    files = ", ".join(f"{name}.md, {name}.csv" for name in names)
    typer.echo(f"all in {out}: {files}, cells.csv, runs/", err=json_)
