"""A whole run: the method from the teacher's first scores to the trained student."""

import math
from pathlib import Path
from typing import Any

import torch

from ccd_fast import machine, object_boxes, run_description
from ccd_fast import student as students
from ccd_fast.config import Recipe
from ccd_fast.datasets import ImageSet, Source
from ccd_fast.errors import RunError, UserError
from ccd_fast.evaluate import (
    Metrics,
    choose_epoch,
    evaluate_images,
    explain_choice,
    mean_average_precision,
    oracle_epoch,
)
from ccd_fast.fit import fit_epoch
from ccd_fast.keeper import Stop
from ccd_fast.memory import Memory
from ccd_fast.passes import least_seconds, open_passes, settled, updates_labels
from ccd_fast.prediction import predict
from ccd_fast.progress import Stages
from ccd_fast.pseudo_labels import PseudoLabels, bias_by_class
from ccd_fast.ranks import ALONE, Ranks
from ccd_fast.run_folder import BIAS, SUMMARY, RunFolder
from ccd_fast.run_state import Parts, State
from ccd_fast.teacher import resolve, twins_warning
from ccd_fast.trainer import Trainer

TEACHER, FIRST, UPDATED = "zero-shot teacher", "first pseudo-labels, train", "pseudo-labels after the updates, train"
CHOSEN = "student, chosen epoch, test"
"""What a run measures, by the names in its summary."""


def train(
    source: Source,
    recipe: Recipe,
    folder: RunFolder,
    stages: Stages,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    boxes: Path | None = None,
    until: int | None = None,
    memory: Memory | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Run the method of the paper on a data set.

    Args:
        source: of the images and, for evaluation only, their labels.
        recipe: every knob.
        folder: where the run is written.
        stages: shows the progress; its records go into the folder.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        resume: go on with the run in the folder, from where it is.
        overwrite: replace the run in the folder.
        command: kept in ``run.json``.
        boxes: CSV of the objects' boxes, for a ``views.choice`` that needs them; by default the data set's own.
        until: stop before this epoch; with ``resume`` the run goes on.
        memory: of trainings whose backbone is frozen, this one among them; None computes everything.
        ranks: the processes that share the run, as ``folder`` has them too; the folder is on a disk that all see.

    Returns:
        The summary: all metrics by name, time and rate of each stage, the chosen epoch, unreadable images. Nothing
        where the run was stopped before its end.

    Raises:
        UserError: something that was asked for cannot be had; nothing was written.
        RunError: the run cannot go on; what was done is in the folder.
    """
    place = machine.check_device(device)
    folder.check_free(resume, overwrite)
    recipe = settled(recipe)
    resolve(recipe.teacher.model)  # a mistyped name is told of before the student's weights are fetched
    images, test = source.load("train"), source.load("test")
    for split in (images, test):
        split.refuse_missing(recipe.views.max_bad_frac)
    objects = object_boxes.read(boxes, images) if boxes else object_boxes.of(images)
    knobs, classes = recipe.student, len(images.class_names)
    student = students.build(knobs.backbone, classes, knobs.alpha, knobs.weights, recipe.seed, stages.say)
    trainer = Trainer(student.to(place), recipe, ranks, stages.say)
    if memory is not None:
        memory.attend(student)
    with ranks.leader_first():
        passes = open_passes(recipe, images, objects, device, stages.say, memory, ranks)
        passes.prepare(student)
    stages.least = least_seconds(passes, recipe, device, student, trainer.precision)
    warning = twins_warning(passes.teacher.classes, passes.teacher.scale, images.class_names)
    if warning:
        stages.say(warning)
    if both := len(set(images.paths) & set(test.paths)):
        stages.say(f"warning: {both} of the {len(test)} test images are training images too: figures of them flatter")
    parts = Parts(
        recipe=recipe,
        images=images,
        test=test if len(test) else None,
        passes=passes,
        student=student,
        trainer=trainer,
        folder=folder,
        stages=stages,
        stop=Stop(stages.say),
        ranks=ranks,
    )
    if resume:
        run_description.refuse_another(parts)
        run_description.note_resumed(parts, command)
    else:
        folder.create(overwrite)
        folder.write_text("recipe.toml", recipe.dumps())
        folder.write_json("run.json", run_description.describe(parts, source, command, boxes))
    with parts.stop.listening():
        try:
            state = _run(parts, recipe.train.epochs if until is None else until)
        except RunError:
            parts.stop.now()  # all processes were asked to stop, and another one was first
            raise
    if state.epoch < recipe.train.epochs:
        return {}
    summary = _summary(parts, state)
    folder.write_json(SUMMARY, summary)
    return summary


def _run(parts: Parts, until: int) -> State:
    """Go through the epochs, from wherever the run stands."""
    if parts.folder.has_state():
        state = _restore(parts)
    else:
        parts.folder.add_to_quarantine(parts.images, {})
        state = _first_labels(parts)
        _save(parts, state)
    for epoch in range(state.epoch, until):
        if updates_labels(parts.recipe, epoch) and not state.settled and state.updated != epoch:
            _update_labels(parts, state, epoch)
            _save(parts, state)
        _fit(parts, state, epoch)
        _save(parts, state)
    return state


def is_consistent(recipe: Recipe, epoch: int) -> bool:
    """Tell whether the consistency loss applies: from the end of the warm-up on, unless mu is 0 (section 5)."""
    return epoch >= recipe.train.warmup_epochs and recipe.consistency.mu > 0


def _first_labels(parts: Parts) -> State:
    """Score the whole images, and make the first pseudo-labels of them (sections 1 and 2)."""
    recipe, images = parts.recipe, parts.images
    with parts.stages.stage("first labels", len(images), parts.keeper("first labels")) as stage:
        gathered, unreadable = parts.passes.whole_images(images, stage)
    _set_aside(parts, images, unreadable)
    labels = gathered.finish(recipe.labels.floor, recipe.bias.min_count, recipe.bias.debias)
    confident = int(labels.confident.sum())
    rare = int((labels.bias_counts < max(recipe.bias.min_count, 1)).sum())
    parts.stages.say(
        f"bias from {confident} confident images; {rare} of {len(images.class_names)} classes are drawn to the mean"
    )
    state = State(labels)
    _measure(parts, state, f"{TEACHER}, train", gathered.scores, images, labels.readable)
    _measure(parts, state, FIRST, labels.table, images, labels.readable)
    if parts.test is not None:
        with parts.stages.stage("zero-shot on the test images", len(parts.test)) as stage:
            zero_shot, unreadable = parts.passes.whole_images(parts.test, stage)
        _set_aside(parts, parts.test, unreadable)
        _measure(parts, state, f"{TEACHER}, test", zero_shot.scores, parts.test, zero_shot.readable)
    parts.folder.save_labels(0, images, labels)
    parts.folder.write_json(BIAS, bias_by_class(gathered.scores, labels, images.class_names))
    return state


def _set_aside(parts: Parts, images: ImageSet, unreadable: dict[int, str]) -> None:
    """Put unreadable images into the quarantine; stop where so many say that the data set is not what was meant."""
    parts.folder.add_to_quarantine(images, unreadable)
    if not unreadable:
        return
    allowed, where = parts.recipe.views.max_bad_frac, f"the list is {parts.folder.path / 'quarantine.csv'}"
    of_all = f"of the {len(images)} {'test images' if images.split == 'test' else 'images'}"
    if len(unreadable) == len(images):
        raise UserError(f"{images.root}: none {of_all} can be read; {where}")
    if len(unreadable) / len(images) > allowed:
        raise UserError(
            f"{images.root}: {len(unreadable)} {of_all} cannot be read, more than views.max_bad_frac = {allowed:g} "
            f"allows; {where}; mend them, or allow more with --max-bad-frac"
        )
    parts.stages.say(f"{len(unreadable)} {of_all} cannot be read: see quarantine.csv")


def _update_labels(parts: Parts, state: State, epoch: int) -> None:
    """Set the activity threshold, at the first update or at each, and update the labels (section 4)."""
    images, labels, knobs = parts.images, state.labels, parts.recipe.relabel
    if state.tau is None and knobs.average == "anchored":
        labels.anchor()
    if state.tau is None or knobs.tau == "every":
        with parts.stages.stage("activity threshold", len(images), epoch=epoch) as stage:
            state.tau = parts.passes.activity_threshold(parts.student, images, epoch, stage)
    before = labels.table.clone()
    with parts.stages.stage("relabel", len(images), parts.keeper(f"relabel {epoch}"), epoch=epoch) as stage:
        unreadable = parts.passes.relabel(parts.student, images, labels, state.tau, epoch, stage)
    parts.folder.add_to_quarantine(images, unreadable)
    parts.folder.save_labels(epoch, images, labels)
    changed = float((labels.table - before)[labels.readable].abs().mean())
    state.settled = changed < knobs.settle
    ended = f", less than relabel.settle = {knobs.settle:g}: no more updates" if state.settled else ""
    parts.stages.say(f"tau {state.tau:.4f}; labels changed by {changed:.4f} on average{ended}")
    _measure(parts, state, UPDATED, labels.table, images, labels.readable)
    state.updated = epoch


def _fit(parts: Parts, state: State, epoch: int) -> None:
    """Train for an epoch, look at the test images, and see whether this is the epoch to keep."""
    recipe, images, labels = parts.recipe, parts.images, state.labels
    consistent, ranks = is_consistent(recipe, epoch), parts.ranks
    with parts.stages.stage("train", len(images), parts.keeper(f"train {epoch}", in_step=True), epoch=epoch) as stage:
        loss, predicted, unreadable = fit_epoch(
            parts.trainer, images, labels, parts.passes.backend, epoch, consistent, recipe, stage, ranks
        )
    parts.folder.add_to_quarantine(images, unreadable)
    sure = labels.table[labels.readable] == 1
    agreement = mean_average_precision(predicted[labels.readable], sure, parts.passes.absent_ap)
    state.agreement.append(agreement)
    if math.isnan(agreement):
        parts.stages.say(f"epoch {epoch}: the agreement with the pseudo-labels is undefined: none of them is 1")
    record: dict[str, Any] = {"epoch": epoch, "loss": loss, "agreement": _number(agreement)}
    if UPDATED in state.metrics:
        record["pseudo_label_map"] = state.metrics[UPDATED]["mean_average_precision"]
    metrics = test_metrics(parts, epoch)
    if metrics is not None:
        record["test"] = state.metrics["student, last epoch, test"] = metrics.record()
        state.test_maps.append(metrics.mean_average_precision)
        if oracle_epoch(state.test_maps) == len(state.test_maps) - 1:
            state.metrics["student, best epoch by the test labels (oracle), test"] = metrics.record()
    is_last = epoch == recipe.train.epochs - 1
    fires = recipe.train.choose == "label-free" and choose_epoch(state.agreement) == epoch
    if state.chosen is None and (fires or is_last):
        state.chosen = epoch
        parts.folder.save_student("best", parts.student.state_dict())
        if metrics is not None:
            state.metrics[CHOSEN] = metrics.record()
    parts.folder.add_metrics(record)
    shown = "" if metrics is None else f", test mAP {100 * metrics.mean_average_precision:.1f}"
    starts = is_consistent(recipe, epoch) and epoch == recipe.train.warmup_epochs
    of_both = " (with the consistency loss from here on)" if starts else ""
    parts.stages.say(f"epoch {epoch}: loss {loss:.4f}{of_both}{shown}")
    state.epoch = epoch + 1


def test_metrics(parts: Parts, epoch: int) -> Metrics | None:
    """Evaluate the student on the test images; None where there are none."""
    test = parts.test
    if test is None or test.truth is None:
        return None
    with parts.stages.stage("evaluate", len(test), epoch=epoch) as stage:
        size = parts.recipe.student.image_size
        student = parts.passes.at_work(parts.student, size, stage)
        seen = predict(student, test.files_of_all(), parts.passes.backend, size, stage, parts.ranks)
    threshold = parts.recipe.evaluate.threshold
    return evaluate_images(seen.probabilities, test, seen.readable, threshold, parts.passes.absent_ap)


def _measure(
    parts: Parts, state: State, name: str, scores: torch.Tensor, images: ImageSet, readable: torch.Tensor
) -> None:
    """Keep the metrics of a table of scores, over the rows whose truth is known."""
    metrics = evaluate_images(scores, images, readable, parts.recipe.evaluate.threshold, parts.passes.absent_ap)
    if metrics is not None:
        state.metrics[name] = metrics.record()


def _save(parts: Parts, state: State) -> None:
    """Write a checkpoint of what is finished: the first labels, a label update, an epoch."""
    weights = parts.student.state_dict()
    parts.folder.save_student("last", weights)
    content = {**vars(state), "labels": state.labels.state()}
    parts.folder.save_state({**content, "student": weights, "trainer": parts.trainer.state_dict()})
    parts.stop.now()


def _restore(parts: Parts) -> State:
    """Read the checkpoint back."""
    content = parts.folder.load_state()
    parts.student.load_state_dict(content.pop("student"))
    parts.trainer.load_state_dict(content.pop("trainer"))
    labels = PseudoLabels(**content.pop("labels"))
    ended = content["epoch"] >= parts.recipe.train.epochs
    parts.stages.say("the run has ended already" if ended else f"going on at epoch {content['epoch']}")
    return State(labels=labels, **content)


def _summary(parts: Parts, state: State) -> dict[str, Any]:
    """Gather mAP and all metrics by name, and time and rates by stage."""
    return {
        "results": {name: metrics["mean_average_precision"] for name, metrics in state.metrics.items()},
        "metrics": state.metrics,
        "stages": parts.folder.stage_totals(),
        "tau": state.tau,
        "chosen_epoch": state.chosen,
        "choice": explain_choice(parts.recipe.train.choose, state.agreement),
        "oracle_epoch": oracle_epoch(state.test_maps),
        "epochs": state.epoch,
        "unreadable": len(parts.folder.quarantine),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
