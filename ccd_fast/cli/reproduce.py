"""``ccd-fast reproduce``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ccd_fast.cli import options


def reproduce(
    dataset: Annotated[str, typer.Argument(metavar="voc12|voc07|coco|nus", help="The paper's data set.")],
    data_root: Annotated[Path, typer.Option(help="Folder that holds the data set.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the table and its runs; by default runs/reproduce-DATASET.")
    ] = None,
    seeds: options.Seeds = "0",
    teacher: options.Teacher = None,
    student: options.Student = None,
    student_weights: options.StudentWeights = None,
    set_: options.Set = None,
    min_positives: options.MinPositives = 0,
    device: options.Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and whether the weights are at hand, and stop.")
    ] = False,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Run the paper's line for one of its data sets: its recipe, RN50x64 as teacher, ResNet-101 as student.

    The data set must be on disk (`ccd-fast datasets`); the weights are downloaded where they are not at hand. The
    same command goes on after an interruption; finished runs are kept. What is changed with options is named below the
    table.

    Example: `ccd-fast reproduce voc12 --data-root ~/data --dry-run`
    """
    from ccd_fast.runs.free import refuse_no_study

    out = out or Path("runs") / f"reproduce-{dataset}"
    options.refuse_at_once(device, lambda: refuse_no_study(out))

    from ccd_fast import machine, studies
    from ccd_fast.cli import tables
    from ccd_fast.datasets import Source
    from ccd_fast.studies.paper import RECIPES

    machine.keep_freed_memory()
    options.each_of([dataset], RECIPES, "DATASET")
    place = options.where(device)
    study = studies.Study(
        source=Source(dataset, data_root),
        recipe=RECIPES[dataset],
        overrides=options.overrides(set_, teacher, student, student_weights),
        seeds=options.seeds(seeds, set_),
        out=out,
        stages=options.stages(),
        device=place,
        command=shlex.join(["ccd-fast", *sys.argv[1:]]),
        min_positives=min_positives,
    )
    if dry_run:
        tables.show_outlook(*studies.foresee(study))
        return
    options.goes_on_with("the same command: finished runs are kept")
    tables.give([studies.reproduce(study)], json_)
    typer.echo(f"all in {study.out}: reproduce.md, reproduce.csv, cells.csv, runs/", err=json_)
