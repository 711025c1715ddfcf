"""``ccd-fast evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import options, screen
from ccd_fast.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccd_fast.evaluation import Localisation, Metrics


def evaluate(
    run: options.Run,
    checkpoint: options.Checkpoint = "best",
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    data_root: Annotated[Path | None, typer.Option(help="Folder of the images; by default the run's own.")] = None,
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="Known labels; by default the run's own.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Score from which a class counts as predicted; by default the recipe's evaluate.threshold, 0.5 in "
            "every built-in recipe.",
        ),
    ] = None,
    device: options.Device = "auto",
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure a trained student against known labels: mAP, average precision by class, precision, recall, CF1, OF1.

    Beside the student stands what the run measured on the same images: the zero-shot teacher and, with
    `--split train`, the pseudo-labels.

    Example: `ccd-fast evaluate runs/photos --split test`
    """
    from ccd_fast.runs.free import refuse_no_run

    refuse_no_run(run)  # before anything large is loaded

    import dataclasses

    from ccd_fast import machine
    from ccd_fast.errors import UserError
    from ccd_fast.evaluation import localise, metrics
    from ccd_fast.outputs import trained
    from ccd_fast.runs import RunFolder, Stages
    from ccd_fast.student import Reading, predict
    from ccd_fast.training.passes import evaluation_conditions

    machine.keep_freed_memory()
    model = trained.load(run, checkpoint)
    own = model.source
    source = dataclasses.replace(own, root=data_root or own.root, truth=truth or own.truth)
    if split not in ("train", "test"):
        raise UserError(f"--split {split}: must be train or test")
    images = source.load(split)
    if images.class_names != model.class_names:
        raise UserError(f"{source.classes}: its classes are no longer those of {run}")
    if images.truth is None:
        raise UserError(f"no known labels for the {split} images: give them with --truth FILE")
    place = "cpu" if model.recipe.compat == "official" else options.where(device)
    backend, absent_ap = evaluation_conditions(model.recipe, place)
    with Stages(Console(stderr=True), opening=options.opening()).stage("evaluate", len(images)) as stage:
        student = trained.at_work(model, len(images), place)
        seen = predict(student, images.files_of_all(), Reading(backend), model.recipe.student.image_size, stage)
    for row, reason in seen.unreadable.items():
        options.warn(f"{images.paths[row]}: {reason}")
    limit = model.recipe.evaluate.threshold if threshold is None else threshold
    result = metrics.evaluate_images(seen.probabilities, images, seen.readable, limit, absent_ap)
    if result is None:
        raise UserError(f"none of the {len(images)} images with known labels can be read")
    beside = {}
    if data_root is None and truth is None and limit == model.recipe.evaluate.threshold:
        measured = (RunFolder(run).summary() or {}).get("metrics", {})
        of_split = {
            name.removesuffix(f", {split}"): record for name, record in measured.items() if name.endswith(split)
        }
        beside = {n: metrics.Metrics.of_record(r) for n, r in of_split.items() if not n.startswith("student")}
    if not json_:
        show(result, beside)
    found = None
    if images.boxes is not None:
        with Stages(Console(stderr=True)).stage("CAM boxes", len(images)) as stage:
            found = localise(
                model.student, images, backend, model.recipe.student.relabel_size, model.recipe.relabel, stage
            )
        if found is not None and not json_:
            show_localisation(found)
    if json_:
        every = {"student": result.record(), **{name: metrics.record() for name, metrics in beside.items()}}
        typer.echo(json.dumps({"metrics": every, "localisation": found.record() if found else None}, indent=1))


def show(result: Metrics, beside: Mapping[str, Metrics]) -> None:
    """Print metrics as a table: the student's, and others by name."""
    console = screen.console()
    table = Table(title=f"{result.images} images; average precision by class, and the means, in %")
    columns = {"student": result, **beside}
    table.add_column("class")
    for column in columns:
        table.add_column(column, justify="right")
    for name in result.average_precision:
        values = [metrics.average_precision.get(name) for metrics in columns.values()]
        table.add_row(Text(printable(name)), *("–" if value is None else f"{100 * value:.1f}" for value in values))
    table.add_section()
    table.add_row("mAP", *(f"{100 * metrics.mean_average_precision:.1f}" for metrics in columns.values()))
    table.add_section()
    at = f"(threshold {result.threshold:g})"
    for label, share in (
        (f"precision by class, CP {at}", "class_precision"),
        ("recall by class, CR", "class_recall"),
        ("CF1", "class_f1"),
        ("precision overall, OP", "overall_precision"),
        ("recall overall, OR", "overall_recall"),
        ("OF1", "overall_f1"),
    ):
        table.add_row(label, *(f"{100 * getattr(metrics, share):.1f}" for metrics in columns.values()))
    screen.show(table)
    if result.without_positives:
        absent = printable(", ".join(result.without_positives))
        console.print(f"left out of the mean, as no image has them: {absent}", markup=False)


def show_localisation(found: Localisation) -> None:
    """Print what the CAM boxes are worth."""
    lines = (
        f"CAM boxes, against those of the objects ({found.pairs} pairs of an image and a class that is in it):",
        f"  CorLoc (IoU of 0.5 or more) {found.cor_loc:.1%}, mean IoU {found.iou:.1%} (the whole image: "
        f"{found.whole_image_iou:.1%}); a box encloses the hottest part of the map only",
        f"  the teacher's crop, with its margin, holds {found.covered:.1%} of the object in {found.crop_area:.1%} of "
        f"the image: {found.covered / max(found.crop_area, 1e-9):.1f} times what chance would hold",
    )
    for line in lines:
        screen.console().print(line, soft_wrap=True)
