"""``ccd-fast label``."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import completion, next_steps, on_ray, options, screen
from ccd_fast.errors import printable
from ccd_fast.text import photographs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ccd_fast.outputs import Labelled

SHOWN = 5
"""Unreadable photographs that are named on the screen."""


def label(
    data_root: Annotated[
        Path, typer.Option(help="Folder of photographs, any tree, or of tar shards with --dataset webdataset.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the labels go: .csv, .parquet, .jsonl, or .json with --format.")
    ],
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names, one a line; not with --run.")
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(
            autocompletion=completion.of_yours, help="folder, imagefolder or webdataset; all its splits are labelled."
        ),
    ] = "folder",
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="A trained run: its teacher looks again where its student points. Better, and slower."
        ),
    ] = None,
    format_: options.LabelFormat = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="A photograph has the classes whose label is at least this; by default the recipe's "
            "evaluate.threshold: in most, one for each class, chosen without labels.",
        ),
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV with class and threshold, for some classes or all.")
    ] = None,
    labels_per_image: Annotated[
        float | None, typer.Option(min=0.01, help="In place of a threshold: so many labels a photograph on average.")
    ] = None,
    teacher: options.Teacher = None,
    templates: options.Templates = None,
    recipe: options.Recipe = "folder",
    set_: options.Set = None,
    device: options.Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    on: on_ray.On = None,
    incremental: on_ray.Incremental = False,
    actors: on_ray.Actors = None,
    cpus_per_actor: on_ray.CpusPerActor = 1.0,
    gpus_per_actor: on_ray.GpusPerActor = None,
    keep_top: on_ray.KeepTop = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Label photographs without training anything: the teacher scores them, its bias is divided out.

    `csv` can be corrected by hand and given to `train --truth`; `coco` has an annotation a label, whose box is the
    whole photograph; `label-studio` are tasks with predictions to correct, and the labelling interface beside them as
    .xml (serve the photographs from Label Studio's local files); `cvat` is XML for a task with these photographs and
    labels; `imagefolder` the metadata.jsonl of Hugging Face's image folders, inside the folder; `ultralytics` a folder
    of photographs by their likeliest label; `fiftyone` a folder that FiftyOne loads.

    A photograph that cannot be read gets a line on standard error and one in a list beside the file, .unreadable.csv;
    the others are labelled, and the exit code is then 2.

    Example: `ccd-fast label --data-root photos --classes classes.txt --out labels.csv`
    """
    from ccd_fast.cli.label_formats import format_of, refuse_elsewhere, refuse_taken
    from ccd_fast.datasets import Source
    from ccd_fast.errors import UserError
    from ccd_fast.outputs import held_names
    from ccd_fast.recipes import config
    from ccd_fast.runs.free import refuse_no_run

    on_ray.refuse_without(on, incremental=incremental, actors=actors, gpus_per_actor=gpus_per_actor, keep_top=keep_top)
    if on is not None:
        on_ray.refuse_with(on, format=format_, labels_per_image=labels_per_image)
    kind = "" if on is not None else format_of(out, format_)
    if labels_per_image is not None and (thresholds is not None or threshold is not None):
        name = "--threshold" if thresholds is None else "--thresholds"
        raise UserError(f"--labels-per-image sets the threshold itself: give it or {name}")
    given = {"--classes": classes, "--teacher": teacher, "--templates": templates, "--set": set_}
    if run is None and classes is None:
        raise UserError("--classes FILE is needed, a text file of class names, one a line; or --run RUN")
    if run is not None and (own := [name for name, value in given.items() if value]):
        raise UserError(f"{', '.join(own)}: these are the run's with --run")
    changed = options.overrides(set_, teacher, None, None, templates)
    options.refuse_at_once(  # before anything large is loaded
        device if on is None else "cpu",  # the cluster's machines have devices of their own
        lambda: None if on is not None else refuse_taken(kind, out, overwrite),
        lambda: None if on is not None else refuse_elsewhere(kind, out, data_root),
        lambda: None if run is None else refuse_no_run(run),
        lambda: (
            None if on is not None else held_names.refuse(kind, data_root, Source(dataset, data_root, classes).check())
        ),
        lambda: options.refuse_teacher(
            (config.load(recipe, changed) if run is None else config.of_run(run)).teacher.model
        ),
    )
    knobs = config.load(recipe, changed) if run is None else config.of_run(run)
    if on is None:
        options.decode_early(device, knobs.views.backend)

    import numpy as np

    from ccd_fast import machine
    from ccd_fast.outputs import decisions, label_files
    from ccd_fast.outputs import labelling as library

    names = library.class_names(classes, run)
    fixed = _limits(names, threshold, thresholds, labels_per_image)
    if on is not None:
        asked = on_ray.Asked(
            on, incremental, overwrite, actors, cpus_per_actor, gpus_per_actor, device, keep_top, as_json
        )
        knobs_given = options.overrides(set_, teacher, None, None, templates)
        on_ray.label(asked, data_root, dataset, out, classes, run, fixed, recipe, knobs_given)
        return
    held_names.refuse_classes(kind, names)
    machine.keep_freed_memory()
    place = options.where(device)
    stages = options.stages()
    if run is not None:
        labelled = library.by_run(data_root, run, stages, place, dataset)
    else:
        assert classes is not None  # seen to above
        labelled = library.by_teacher(data_root, classes, knobs, stages, place, dataset)
    limits = np.where(np.isnan(fixed), labelled.limits, fixed)
    if labels_per_image is not None:
        limits = np.full_like(limits, library.limit_for(labelled, labels_per_image))
    decided = library.chosen(labelled, limits)
    written = label_files.write(labelled, decided, kind, out)
    remarks = decisions.remarks(labelled, decided)
    if run is None and knobs.labels.anchors_for(len(names)) == "everyday" and not decided.any(axis=1).all():
        remarks.insert(0, "if every photograph shows one of the classes: --set labels.anchors=none gives more of them")
    _show(labelled, decided, limits, written, as_json, remarks)
    if run is None and not as_json and decided.any():
        named = {"--data-root": data_root, "--classes": classes, "--teacher": teacher, "--templates": templates}
        named |= {name: value for name, value in (("--dataset", dataset), ("--recipe", recipe)) if value != "folder"}
        words = [word for name, value in named.items() if value for word in (name, str(value))]
        next_steps.after_labels([*words, *(word for knob in set_ or () for word in ("--set", knob))])
    if kind == "label-studio":
        root = label_files.document_root(labelled.images)
        typer.echo(
            f"start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={shlex.quote(str(root))}, and add {data_root.resolve()} as local "
            "storage of the project",
            err=True,
        )
    if labelled.unreadable:
        raise typer.Exit(2)


def _limits(
    names: tuple[str, ...], threshold: float | None, thresholds: Path | None, labels_per_image: float | None
) -> "NDArray[np.float32]":
    """Settle the limits that are given, before the work; NaN where they are to be found."""
    import numpy as np

    from ccd_fast.errors import UserError
    from ccd_fast.outputs import labelling as library

    if labels_per_image is not None and labels_per_image > len(names):
        raise UserError(f"--labels-per-image {labels_per_image:g}: there are {len(names)} classes only")
    every = np.full(len(names), np.nan if threshold is None else threshold, dtype=np.float32)
    if thresholds is not None:
        given = library.read_limits(thresholds, names)
        return np.where(np.isnan(given), every, given)
    return every


def _show(
    labelled: "Labelled",
    decided: "NDArray[np.bool_]",
    limits: "NDArray[np.float32]",
    written: list[Path],
    as_json: bool,
    remarks: list[str],
) -> None:
    from ccd_fast.outputs import decisions

    names = labelled.images.class_names
    counts = dict(zip(names, decided.sum(axis=0).tolist(), strict=True))
    readable, none = int(labelled.readable.sum()), decisions.none_of_these(labelled, decided)
    if as_json:
        unreadable = {labelled.images.paths[row]: reason for row, reason in labelled.unreadable.items()}
        facts = {"photographs": readable, "labels": int(decided.sum()), "by_class": counts, "none_of_these": none}
        thresholds = dict(zip(names, limits.tolist(), strict=True))
        facts |= {"unreadable": unreadable, "thresholds": thresholds, "remarks": remarks}
        typer.echo(json.dumps({**facts, "files": [str(file) for file in written]}))
        return
    console = screen.console()
    table = Table()
    table.add_column("class", overflow="fold")
    table.add_column("photographs", justify="right")
    table.add_column("threshold", justify="right")
    for c, (name, count) in enumerate(counts.items()):
        table.add_row(Text(printable(name)), f"{count:,}", f"{limits[c]:.3f}")
    screen.show(table)
    console.print(f"{readable:,} photographs, {decided.sum() / max(readable, 1):.2f} labels each on average")
    if none:
        console.print(f"{photographs(none)} without a label: no class reaches its threshold")
    for line in remarks:
        console.print(line, markup=False, soft_wrap=True)
    for row, reason in list(labelled.unreadable.items())[:SHOWN]:
        options.warn(f"{labelled.images.paths[row]}: {reason}")
    if len(labelled.unreadable) > SHOWN:
        options.warn(f"and {len(labelled.unreadable) - SHOWN} more")
    typer.echo(f"written to {', '.join(map(str, written))}")
