"""A whole run: first labels, warm-up, label updates, training, the choice of an epoch."""

import math
from typing import Any

from ccd_fast import machine, systems
from ccd_fast import student as students
from ccd_fast.datasets import Source
from ccd_fast.errors import RunError
from ccd_fast.evaluation import Metrics, choose_epoch, explain_choice, mean_average_precision, oracle_epoch, scores
from ccd_fast.labels import PseudoLabels
from ccd_fast.recipes import Recipe
from ccd_fast.runs import RunFolder, Stages, Stop
from ccd_fast.runs.folder import SUMMARY
from ccd_fast.runs.mapped_tables import open_tables
from ccd_fast.student.training_views import TrainingViews
from ccd_fast.teacher import resolve, twins_warning
from ccd_fast.training import description, first_head, supervision, thresholds
from ccd_fast.training.ccd import Ccd
from ccd_fast.training.compared import Compared
from ccd_fast.training.epoch import Fitted, fit_epoch
from ccd_fast.training.forecast import Forecast
from ccd_fast.training.measures import CHOSEN, LAST, ORACLE, UPDATED, student_metrics
from ccd_fast.training.memory import Memory, half_of_what_is_free
from ccd_fast.training.method import Method
from ccd_fast.training.passes import least_seconds, open_passes
from ccd_fast.training.state import Parts, State
from ccd_fast.training.steps import Trainer, choose_precision

OF_THE_TEACHER = ("first labels", "zero-shot on the test images", "cells")
"""Stages whose nearness to the hardware says something where the student's features are remembered."""


def train(
    source: Source,
    recipe: Recipe,
    folder: RunFolder,
    stages: Stages,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    until: int | None = None,
    memory: Memory | None = None,
) -> dict[str, Any]:
    """Run the method of the paper on a data set.

    Args:
        source: of the images and, for evaluation only, their labels.
        recipe: every knob.
        folder: where the run is written, and the processes that share it; it is on a disk that all of them see.
        stages: shows the progress; its records go into the folder.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        resume: go on with the run in the folder, from where it is; with another number of epochs it ends sooner or
            later.
        overwrite: replace the run in the folder.
        command: kept in ``run.json``.
        until: stop before this epoch; with ``resume`` the run goes on.
        memory: that several trainings share, for those whose backbone is frozen.

    Returns:
        The summary: all metrics by name, time and rate of each stage, the chosen epoch, unreadable images. Nothing
        where the run was stopped before its end.

    Raises:
        UserError: something that was asked for cannot be had; nothing was written.
        RunError: the run cannot go on; what was done is in the folder.
    """
    stages.on_gpu = machine.check_device(device).type == "cuda"
    folder.check_free(resume, overwrite)
    with folder.at_work():
        resolve(recipe.teacher.model)  # a mistyped name is told of before the student's weights are fetched
        parts = _open(source, recipe, folder, stages, device, memory, resume)
        if resume:
            description.refuse_another(parts)
            description.note_resumed(parts, command)
            description.note_epochs(parts)
        else:
            folder.create(overwrite)
            folder.write_text("recipe.toml", recipe.dumps())
            folder.write_json("run.json", description.describe(parts, source, command))
        own = recipe.system
        method = Ccd(parts) if recipe.is_ccd else Compared(parts, systems.source_of(own, source.known is not None))
        with parts.stop.listening():
            try:
                state = _run(parts, method, recipe.train.epochs if until is None else until)
            except RunError:
                parts.stop.now()  # all processes were asked to stop, and another one was first
                raise
        if state.epoch < recipe.train.epochs:
            return {}
        folder.forget_partial()  # a process may have been killed between its last checkpoint and this
        summary = _summary(parts, state)
        folder.write_json(SUMMARY, summary)
        return summary


def _run(parts: Parts, method: Method, until: int) -> State:
    """Go through the epochs, from wherever the run stands."""
    if parts.folder.has_state():
        state = _restore(parts, method)
    else:
        parts.folder.add_to_quarantine(parts.images.paths, {})  # an empty list says that none is unreadable
        state = method.first_labels()
        _save(parts, state, method)
    for epoch in range(state.epoch, until):
        if method.before_epoch(state, epoch):  # nothing in the warm-up; from then on the label updates
            _save(parts, state, method)
        if first_head.begin(parts, method, state):
            _save(parts, state, method)
        fitted = _train(parts, method, state, epoch)
        metrics = _measure(parts, method, state, epoch, fitted)
        _choose(parts, state, epoch)
        _tell(parts, epoch, fitted, metrics)
        method.after_epoch(state, epoch, fitted.predicted)
        state.epoch = epoch + 1
        _save(parts, state, method)
    if state.chosen is None and state.epoch >= parts.recipe.train.epochs:  # the run was shortened to what it has done
        _keep(parts, state, state.epoch - 1)
        _save(parts, state, method)
    return state


def _train(parts: Parts, method: Method, state: State, epoch: int) -> Fitted:
    """Train for an epoch."""
    recipe, images = parts.recipe, parts.images
    loss = method.loss(state, epoch)
    views = TrainingViews(
        parts.passes.reading.backend, recipe.student.image_size, recipe.consistency, recipe.seed, epoch, len(images)
    )
    with parts.stages.stage("train", len(images), parts.keeper(f"train {epoch}", in_step=True), epoch=epoch) as stage:
        fitted = fit_epoch(parts.trainer, images, method.rows(state), views, loss, stage, method, parts.sample)
    parts.folder.add_to_quarantine(images.paths, fitted.unreadable)
    return fitted


def _measure(parts: Parts, method: Method, state: State, epoch: int, fitted: Fitted) -> Metrics | None:
    """Measure how the student agrees with the labels (section 6), and how good it is where the truth is known."""
    rows, sample = method.rows(state), parts.sample
    sure, seen = method.sure(state, sample[rows[sample]]), fitted.predicted[rows[sample]]
    agreement = mean_average_precision(seen, sure, parts.passes.absent_ap)
    state.agreement.append(agreement)
    if math.isnan(agreement):
        parts.stages.say(f"epoch {epoch}: the agreement with the pseudo-labels is undefined: none of them is 1")
    record: dict[str, Any] = {"epoch": epoch, "loss": fitted.loss, "agreement": _number(agreement)}
    if UPDATED in state.metrics:
        record["pseudo_label_map"] = state.metrics[UPDATED]["mean_average_precision"]
    best = _is_chosen(parts, state, epoch)
    threshold = thresholds.choose(parts, state, rows, epoch, fitted.predicted, best)
    metrics = student_metrics(parts, epoch, threshold)
    if metrics is not None:
        record["test"] = state.metrics[LAST] = metrics.record()
        state.test_maps.append(metrics.mean_average_precision)
        if oracle_epoch(state.test_maps) == len(state.test_maps) - 1:
            state.metrics[ORACLE] = metrics.record()
    parts.folder.add_metrics(record)
    return metrics


def _choose(parts: Parts, state: State, epoch: int) -> None:
    """Keep the student of this epoch, where it is the one to keep (section 6)."""
    if _is_chosen(parts, state, epoch):
        _keep(parts, state, epoch)


def _keep(parts: Parts, state: State, epoch: int) -> None:
    """Keep the student as it is now as the best, with its metrics on the test images, where there are any."""
    state.chosen = epoch
    parts.folder.save_student("best", parts.student.state_dict())
    if LAST in state.metrics:
        state.metrics[CHOSEN] = state.metrics[LAST]
        scores.copy(parts.folder, LAST, CHOSEN)


def _is_chosen(parts: Parts, state: State, epoch: int) -> bool:
    """Tell whether the student of the epoch that has ended is the one to keep."""
    recipe = parts.recipe
    fires = recipe.train.choose == "label-free" and choose_epoch(state.agreement) == epoch
    return state.chosen is None and (fires or epoch == recipe.train.epochs - 1)


def _tell(parts: Parts, epoch: int, fitted: Fitted, metrics: Metrics | None) -> None:
    """Say in a line how the epoch went."""
    recipe = parts.recipe
    shown = "" if metrics is None else f", test mAP {100 * metrics.mean_average_precision:.1f}"
    starts = recipe.is_consistent(epoch) and epoch == recipe.train.warmup_epochs
    of_both = " (with the consistency loss from here on)" if starts else ""
    parts.stages.say(f"epoch {epoch}: loss {fitted.loss:.4f}{of_both}{shown}")


def _open(
    source: Source,
    recipe: Recipe,
    folder: RunFolder,
    stages: Stages,
    device: str,
    memory: Memory | None,
    resume: bool,
) -> Parts:
    """Open data, networks and passes; what cannot be had is refused before anything is written."""
    as_it_began = description.as_it_began(recipe, folder.path) if resume else recipe
    ranks, images, test = folder.ranks, source.load("train"), source.load("test")
    size = (len(images), len(images.class_names))
    for split in (images, test):
        split.refuse_missing(recipe.views.max_bad_frac)
    known = supervision.known(source, recipe, images, ranks)
    drawn = recipe.draws_labels_together(len(images))
    tables = open_tables(recipe.labels.table, folder, size, known is not None, stages.say, drawn)
    objects, knobs, training = source.objects(images), recipe.student, recipe.train_over(len(images))
    if not training.freezes_the_backbone or recipe.compat == "official":
        memory = None  # there is nothing to remember
    student = students.build(
        knobs.backbone, len(images.class_names), knobs.alpha, knobs.weights, recipe.seed, stages.say
    )
    choose_precision(recipe.train.precision, student.to(device).mean.device)  # what cannot be had is said at once
    with ranks.leader_first():
        passes = open_passes(as_it_began, images, objects, device, stages.say, memory, tables)
    if known is not None:
        student = systems.with_its_head(student, recipe.system.name, passes.teacher.classes, known, recipe.seed)
    trainer = Trainer(student, training, knobs.image_size, ranks, stages.say, len(images))
    if trainer.frozen and recipe.train.backbone_learning_rate == "auto":
        stages.say(
            f"of so few photographs ({len(images):,}) only the student's last layer learns, on its backbone as it is "
            "(train.backbone_learning_rate)"
        )
    with ranks.leader_first():
        passes.prepare(trainer.judged)
    least = least_seconds(passes, len(images), knobs, device, student, trainer.precision)
    remembers = memory
    if memory is None and device == "cpu" and recipe.compat != "official" and recipe.keeps_features(len(images)):
        remembers = Memory(half_of_what_is_free())
    if remembers is not None:
        for network in {student, trainer.judged}:
            remembers.attend(network)
    stages.least = least if remembers is None else {name: least[name] for name in OF_THE_TEACHER if name in least}
    tested = len(test) if test.truth is not None else 0
    forecast = Forecast(recipe, len(images), tested, least, passes.looks is not None, remembers is not None)
    stages.outlook = lambda: forecast.said(folder.records)
    warning = twins_warning(passes.teacher.classes, passes.teacher.scale, images.class_names)
    if warning:
        stages.say(warning)
    if both := len(set(images.paths) & set(test.paths)):
        stages.say(
            f"warning: {both} of the {len(test)} test images are training images too: figures of them flatter (a "
            "column split in the table of labels sets images aside for the test)"
        )
    return Parts(
        recipe=recipe,
        images=images,
        test=test if len(test) else None,
        passes=passes,
        student=trainer.judged,
        trainer=trainer,
        folder=folder,
        stages=stages,
        stop=Stop(stages.say),
        known=known,
    )


def _save(parts: Parts, state: State, method: Method) -> None:
    """Write a checkpoint of what is finished: the first labels, a label update, an epoch."""
    weights = parts.student.state_dict()
    parts.folder.save_student("last", weights)
    labels = {name: parts.tables.kept(table) for name, table in state.labels.state().items()}
    content = {**vars(state), "labels": labels, "method": method.kept()}
    parts.folder.save_state({**content, "student": weights, "trainer": parts.trainer.state_dict()})
    parts.tables.sweep(labels.values())
    parts.stop.now()


def _restore(parts: Parts, method: Method) -> State:
    """Read the checkpoint back."""
    content = parts.folder.load_state()
    parts.student.load_state_dict(content.pop("student"))
    parts.trainer.load_state_dict(content.pop("trainer"))
    labels = PseudoLabels(**{name: parts.tables.found(kept) for name, kept in content.pop("labels").items()})
    method.go_on(content.pop("method", {}))
    state = State(labels=labels, **content)
    ended = state.epoch >= parts.recipe.train.epochs
    if not ended and not (parts.recipe.train.choose == "label-free" and choose_epoch(state.agreement) is not None):
        state.chosen = None  # it was the last epoch, of a run that is longer now
    outlook = parts.stages.outlook()
    going = f"going on at epoch {state.epoch}" + (f"; {outlook}" if outlook else "")
    over = (
        "the run has ended already" if state.chosen is not None else "all its epochs are done: what is left is its end"
    )
    parts.stages.say(over if ended else going)
    return state


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
