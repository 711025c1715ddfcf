"""``ccd-fast evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ccd_fast.cli import comparison, options, screen

if TYPE_CHECKING:
    from ccd_fast.datasets import Source
    from ccd_fast.evaluation import Localisation


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
            help="Score from which a class counts as predicted; by default the recipe's evaluate.threshold: in most, "
            "what the run has chosen.",
        ),
    ] = None,
    min_positives: options.MinPositives = 0,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Student and teacher together too: how much is left to gain.")
    ] = False,
    views: Annotated[
        bool,
        typer.Option(
            "--views", help="The teacher with the views of `label` too (labels.grids): it looks at every cell, now."
        ),
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="The student only: the teacher need not look, and need not be there.")
    ] = False,
    device: options.Device = "auto",
    json_: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Measure a trained student against known labels, beside its teacher and its pseudo-labels: was it worth it?

    Shares of labels found and of labels right, mAP, average precision by class, precision, recall, CF1, OF1, with
    intervals by bootstrap. The teacher stands beside as it is, zero-shot, and debiased, each of whole photographs, with
    --views as `ccd-fast label` labels too; on photographs that were trained on so do the pseudo-labels. At what the run
    has not seen, the teacher looks now.

    Example: `ccd-fast evaluate runs/photos --split test`
    """
    from ccd_fast.errors import UserError
    from ccd_fast.runs.free import refuse_no_run

    if alone and (ensemble or views):
        raise UserError(f"--alone and {'--ensemble' if ensemble else '--views'}: give one of them")
    if split not in ("train", "test"):
        raise UserError(f"--split {split}: must be train or test")
    options.refuse_at_once(device, lambda: refuse_no_run(run))  # before anything large is loaded

    import dataclasses

    from ccd_fast.outputs import origin

    own, recipe = origin.origin(run)
    source = dataclasses.replace(own, root=data_root or own.root, truth=truth or own.truth)
    images = source.load(split)
    if images.class_names != origin.class_names_of(run):
        raise UserError(f"{source.classes}: its classes are no longer those of {run}")
    if images.truth is None:
        raise UserError(_why_nothing_is_known(source, split))
    options.decode_early(device, recipe.views.backend)

    import numpy as np
    import torch

    from ccd_fast import machine
    from ccd_fast.evaluation import localise
    from ccd_fast.outputs import meaning, trained, worth
    from ccd_fast.student import Reading, predict
    from ccd_fast.training.passes import evaluation_conditions

    machine.keep_freed_memory()
    model = trained.load(run, checkpoint)
    place = "cpu" if model.recipe.compat == "official" else options.where(device)
    backend, absent_ap = evaluation_conditions(model.recipe, place)
    stages = options.stages()
    with stages.stage("evaluate", len(images)) as stage:
        student = trained.at_work(model, len(images), place)
        seen = predict(student, images.files_of_all(), Reading(backend), model.recipe.student.image_size, stage)
    for row, reason in seen.unreadable.items():
        options.warn(f"{images.paths[row]}: {reason}")
    own_root = source.root.resolve() == own.root.resolve()
    asked = worth.Asked(threshold, absent_ap, min_positives, alone, ensemble, views, own_root)
    result = worth.measure(run, model, images, seen, asked, stages, place)
    known = np.flatnonzero(seen.readable.numpy() & images.known)
    found_there = meaning.of(model, seen.probabilities[known], torch.from_numpy(images.truth[known]))
    said = [worth.on_which(run, images, asked.own_root), f"student: {found_there.told()}"]
    said += worth.explained(run, result)
    if not json_:
        comparison.show(result, said)
    found = None
    if images.boxes is not None:
        with stages.stage("CAM boxes", len(images)) as stage:
            found = localise(
                model.student, images, backend, model.recipe.student.relabel_size, model.recipe.relabel, stage
            )
        if found is not None and not json_:
            show_localisation(found)
    if json_:
        boxes = found.record() if found else None
        typer.echo(json.dumps({**result.record(), "notes": said, "localisation": boxes}, indent=1))


def _why_nothing_is_known(source: Source, split: str) -> str:
    """Say why no labels of a split are known."""
    if source.truth is None:
        return f"no known labels for the {split} images: give them with --truth FILE"
    other = "train" if split == "test" else "test"
    known = int(source.load(other).known.sum())
    if not known:
        return f"--truth {source.truth}: it says nothing of any image"
    return (
        f"--truth {source.truth}: all its {known:,} rows are of the split {other}, and --split {split} was asked for: "
        f"say --split {other}, or give rows the split {split} in the file, or leave the column split out"
    )


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
