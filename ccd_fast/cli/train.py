"""``ccd-fast train``."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from ccd_fast.cli import completion, next_steps, options, screen
from ccd_fast.cli.report import write_or_say
from ccd_fast.text import photographs

OF_THE_RUN = (
    *("dataset", "classes", "truth", "boxes", "teacher", "templates", "student", "student_weights"),
    *("max_bad_frac", "recipe", "set_", "known", "system"),
)
"""Parameters that a run which goes on has already."""


def train(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run; made anew. By default runs/ and the data set's name, -2, -3 where taken."
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds the data set; by default that of its name in $CCD_DATA or in data. Needed for "
            "photographs of your own, unless --resume goes on with a run."
        ),
    ] = None,
    dataset: options.Dataset = "folder",
    classes: options.Classes = None,
    truth: options.Truth = None,
    boxes: options.Boxes = None,
    known: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labels of training images that the method is told: CSV, Parquet or .jsonl with path, labels and, "
            "optionally, absent (classes joined by |; * for all others), or an export of Label Studio or COCO (.json). "
            "With ccd they stay at their truth through every update.",
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.systems,
            help="ccd, or what it is compared with: bce, bce-ls, sarb, asl, sst, llr, g2netpl (reconstruction), an, "
            "an-ls, wan, epr, role, cdul (docs/METHOD.md). By default the recipe's.",
        ),
    ] = None,
    teacher: options.Teacher = None,
    templates: options.Templates = None,
    student: options.Student = None,
    student_weights: options.StudentWeights = None,
    max_bad_frac: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of unreadable images from which on a run stops (views.max_bad_frac). By default the recipe's.",
        ),
    ] = None,
    recipe: options.RecipeOfTheData = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    log: Annotated[
        Literal["tensorboard"] | None,
        typer.Option(help="Keep the figures for TensorBoard too, in the folder tensorboard of the run."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out; no other option is needed. --set train.epochs=N makes it longer or "
            "shorter.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Train a student on unlabelled photographs, with a CLIP as its teacher.

    The teacher scores every photograph over the class names; then, epoch by epoch, the student learns from
    these pseudo-labels and shows the teacher where to look again.

    Example: `ccd-fast train --data-root photos --classes classes.txt --out runs/photos`
    """
    from ccd_fast.datasets import Source, whereabouts
    from ccd_fast.errors import UserError
    from ccd_fast.recipes import config
    from ccd_fast.runs.free import refuse_occupied

    if resume and overwrite:
        raise UserError("--resume goes on with a run and --overwrite replaces it: give one of them")
    given = (data_root, out)
    if not resume:
        data_root = data_root or whereabouts.find(dataset)
    out = out or _folder_of_the_run(dataset, resume, overwrite)
    recipe = recipe or whereabouts.recipe_of(dataset)
    overrides = options.overrides(set_, teacher, student, student_weights, templates)
    overrides += [] if system is None else [f"system.name={options.quoted(system)}"]
    overrides += [] if max_bad_frac is None else [f"views.max_bad_frac={max_bad_frac}"]
    knobs = config.load(recipe, overrides)
    source = None if data_root is None else Source(dataset, data_root, classes, truth, boxes, known)
    if source is not None:
        leads = os.environ.get("RANK", "0") == "0"
        options.refuse_at_once(
            device,
            lambda: refuse_occupied(out, resume, overwrite) if leads else None,
            source.check,
            lambda: options.refuse_teacher(knobs.teacher.model),
        )
    elif changed := [name for name in OF_THE_RUN if options.was_given(context, name) and not _of_epochs(name, set_)]:
        named = ", ".join("--" + name.strip("_").replace("_", "-") for name in changed)
        raise UserError(f"--resume goes on with the run's own recipe and data: leave out {named}")
    else:
        refuse_occupied(out, resume, overwrite)

    from ccd_fast import machine
    from ccd_fast.machine import ranks
    from ccd_fast.outputs import origin
    from ccd_fast.runs import RunFolder
    from ccd_fast.runs import tensorboard as tensorboard_log
    from ccd_fast.training import train as run

    kept = tensorboard_log.open_log(out, log, resume)
    machine.keep_freed_memory()
    if source is None:
        source, knobs = origin.origin(out, set_ or ())
        if not options.was_given(context, "device"):
            device = _as_it_began(out)
    processes, device = ranks.join(options.where(device))
    settled = ""
    if None in given and not resume:
        settled = f"{dataset} in {data_root}, recipe {recipe}; the run goes to {out}"
    folder = RunFolder(out, processes, kept)
    again = f"`ccd-fast train --resume --out {shlex.quote(str(out))}`, from where it is"
    options.goes_on_with(again, once=out / "recipe.toml")
    summary = run(
        source,
        knobs,
        folder,
        options.stages(folder.add_metrics, not processes.leads, settled),
        device=device,
        resume=resume,
        overwrite=overwrite,
        command=shlex.join(["ccd-fast", *sys.argv[1:]]),
    )
    ranks.leave()
    if processes.leads:
        if device == "cpu":
            _keep_engine(out)
        if json_:
            typer.echo(json.dumps(summary, indent=1))
        else:
            show(summary, out)
        write_or_say(out, json_)
        if not json_:
            next_steps.after_training(out, source.truth is not None)


def _keep_engine(run: Path) -> None:
    """Keep an engine for a quick start of `predict`; a run that has ended does not fail for it."""
    from ccd_fast.outputs import trained

    try:
        trained.keep_engine(run)
    except Exception as error:  # noqa: BLE001  what only saves seconds later must not make a finished run fail
        options.warn(f"predict will start slowly: {' '.join(str(error).split())}")


def _of_epochs(name: str, given: list[str] | None) -> bool:
    """Tell whether a parameter is a ``--set`` of the number of epochs alone, which a run that goes on may change."""
    return name == "set_" and all(knob.partition("=")[0].strip() == "train.epochs" for knob in given or ())


def _folder_of_the_run(dataset: str, resume: bool, overwrite: bool) -> Path:
    """Give the folder of a run where ``--out`` is not given.

    Raises:
        UserError: it has to be.
    """
    from ccd_fast.errors import UserError
    from ccd_fast.runs.free import own_folder

    if resume:
        raise UserError("--resume: say which run goes on: --out RUN")
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("--out RUN is needed with several processes: each would look for a free folder")
    return own_folder(dataset, overwrite)


def _as_it_began(run: Path) -> str:
    """Give the device that a run began on.

    Raises:
        UserError: it is not here.
    """
    from ccd_fast import machine
    from ccd_fast.errors import UserError
    from ccd_fast.outputs import trained

    device = trained.device_of(run)
    try:
        machine.check_device(device)
    except UserError:
        raise UserError(
            f"--resume: the run began on {device}, which is not here; go on elsewhere with --device auto"
        ) from None
    options.opens_with(f"device: {device}, as the run began")
    return device


def show(summary: dict[str, Any], out: Path) -> None:
    """Print what a run achieved and where its time went."""
    console = screen.console()
    if summary["results"]:
        table = Table(title="mean average precision")
        table.add_column("what")
        table.add_column("mAP, %", justify="right")
        for name, value in summary["results"].items():
            table.add_row(name, "undefined" if value is None else f"{100 * value:.1f}")
        screen.show(table)
    table = Table(title="time")
    table.add_column("stage")
    for column in ("images", "seconds", "images/s", "crops/s"):
        table.add_column(column, justify="right")
    for name, total in summary["stages"].items():
        seconds = total["seconds"]
        crops = f"{total['crops'] / seconds:.1f}" if total["crops"] else ""
        table.add_row(name, f"{total['images']:.0f}", f"{seconds:.1f}", f"{total['images'] / seconds:.1f}", crops)
    whole = sum(total["seconds"] for total in summary["stages"].values())
    table.add_row("all stages", "", f"{whole:.1f}", "", "", end_section=True)
    screen.show(table)
    if summary["unreadable"]:
        console.print(
            f"could not be read: {photographs(summary['unreadable'])}, see {out / 'quarantine.csv'}", markup=False
        )
    lag = _lag(summary["results"])
    if lag > 0:
        console.print(
            f"the student stays {100 * lag:.1f} points below its zero-shot teacher: more photographs, more epochs "
            "(--set train.epochs=N) or a larger student may help",
            soft_wrap=True,
        )
    oracle = summary["oracle_epoch"]
    known = "" if oracle is None else f"; the test labels would choose epoch {oracle}"
    console.print(f"checkpoints/best is epoch {summary['chosen_epoch']}: {summary['choice']}{known}")
    console.print(f"{summary['epochs']} epochs; all in {out}", markup=False)


def _lag(results: dict[str, Any]) -> float:
    """Give by how much mAP the student is below its teacher on the test images; 0 where that is not known."""
    from ccd_fast.training import CHOSEN, TEACHER

    teacher, student = results.get(f"{TEACHER}, test"), results.get(CHOSEN)
    return 0.0 if teacher is None or student is None else max(teacher - student, 0.0)
