"""Trainings over variants of a recipe and over seeds; finished ones are kept: a table goes on where it stood."""

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccd_fast import machine
from ccd_fast.datasets import ImageSet, Source
from ccd_fast.errors import UserError
from ccd_fast.evaluation import Metrics
from ccd_fast.labels import training_boxes, view_choice
from ccd_fast.machine import ALONE
from ccd_fast.outputs import origin
from ccd_fast.recipes import Recipe
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.runs.free import refuse_occupied
from ccd_fast.studies import sureness, warm_up
from ccd_fast.studies.notes import changed
from ccd_fast.training import CHOSEN, FIRST, HELD_OUT, LAST, ORACLE, TEACHER, UPDATED, Memory, supervision, train

Variants = Mapping[str, Sequence[str]]
"""Each row of a table with what it changes in the recipe, as :func:`ccd_fast.recipes.config.load` takes it."""

LABEL_STAGES = ("first labels", "zero-shot on the test images")


@dataclass(frozen=True)
class Plan:
    """What the trainings of a table share.

    Attributes:
        source: the data set of a seed; labels of its test images must be known.
        recipe: the recipe for a seed and overrides.
        folder: the run's folder for a row and a seed.
        stages: shows the progress.
        device: where the trainings run.
        command: kept in each ``run.json``.
        shared: folder for what several rows begin with, while the table is made; None shares nothing.
        memory: that the trainings whose backbone is frozen share; None shares nothing.
        min_positives: classes with fewer positives among the test images are left out of all figures.
    """

    source: Callable[[int], Source]
    recipe: Callable[[int, Sequence[str]], Recipe]
    folder: Callable[[str, int], Path]
    stages: Stages
    device: str = "cpu"
    command: str = ""
    shared: Path | None = None
    memory: Memory | None = None
    min_positives: int = 0


@dataclass(frozen=True)
class Cell:
    """One finished training.

    Attributes:
        row: name of its variant.
        seed: of the run.
        folder: of the run.
        summary: as :func:`ccd_fast.training.run.train` gives it.
        min_positives: classes with fewer positives among the test images are left out of the metrics.
    """

    row: str
    seed: int
    folder: Path
    summary: Mapping[str, Any]
    min_positives: int = 0

    @property
    def test(self) -> Metrics:
        """The student at the chosen epoch, on the test images."""
        return self._metrics(CHOSEN)

    @property
    def last(self) -> Metrics:
        """The student at the last epoch."""
        return self._metrics(LAST)

    @property
    def oracle(self) -> Metrics:
        """The student at the epoch that the test labels would choose."""
        return self._metrics(ORACLE)

    @property
    def epoch_seconds(self) -> float:
        """Time of a training epoch, without evaluation and label updates."""
        return float(self.summary["stages"]["train"]["seconds"] / self.summary["epochs"])

    @property
    def teacher(self) -> Metrics:
        """The zero-shot teacher, on the test images."""
        return self._metrics(f"{TEACHER}, test")

    @property
    def labels(self) -> Metrics | None:
        """The last pseudo-labels on the training images; None where nothing is known of those."""
        last = UPDATED if UPDATED in self.summary["metrics"] else FIRST
        return self._metrics(last) if last in self.summary["metrics"] else None

    @property
    def head(self) -> Metrics | None:
        """The first head on training images that it was not solved on; None where there is none, or nothing known."""
        return self._metrics(HELD_OUT) if HELD_OUT in self.summary["metrics"] else None

    @property
    def seconds(self) -> float:
        """Time of all stages."""
        return float(sum(stage["seconds"] for stage in self.summary["stages"].values()))

    @property
    def teacher_seconds(self) -> float:
        """Time of the teacher's passes over the whole images."""
        stages = self.summary["stages"]
        return float(sum(stages[name]["seconds"] for name in LABEL_STAGES if name in stages))

    @property
    def crops_per_image(self) -> float | None:
        """Crops that a label update asked for, on average; None where there was no update."""
        relabel = self.summary["stages"].get("relabel")
        return relabel["crops"] / max(relabel["images"], 1) if relabel else None

    def _metrics(self, name: str) -> Metrics:
        try:
            found = Metrics.of_record(self.summary["metrics"][name])
        except KeyError:
            raise UserError(f"{self.folder}: its summary says nothing of the {name}; remove the run") from None
        return sureness.again(self.folder, name, found, self.min_positives) if self.min_positives else found

    def record(self) -> dict[str, Any]:
        """Give the main figures as plain data; shares in 0 … 1."""
        return {
            "row": self.row,
            "seed": self.seed,
            "test_map": self.test.mean_average_precision,
            "cf1": self.test.class_f1,
            "of1": self.test.overall_f1,
            "teacher_test_map": self.teacher.mean_average_precision,
            "label_map": self.labels.mean_average_precision if self.labels else None,
            "crops_per_image": self.crops_per_image,
            "chosen_epoch": self.summary["chosen_epoch"],
            "seconds": round(self.seconds, 2),
        }


def run_cells(
    plan: Plan, variants: Variants, seeds: Sequence[int], finished: Callable[[list[Cell]], None] | None = None
) -> list[Cell]:
    """Run every variant for every seed; runs that are finished are kept, and unfinished ones go on.

    Args:
        plan: what they share.
        variants: the rows, in the order in which they are run.
        seeds: of the runs; all rows of a seed come before the next seed.
        finished: called with all finished cells, in order, after each training and at the end.

    Raises:
        UserError: something that was asked for cannot be had, or a folder holds a run with another recipe or on
            another data set; found before any training begins.
    """
    check(plan, variants, seeds)
    order = [(row, seed) for seed in seeds for row in variants]
    cells: dict[tuple[str, int], Cell] = {}
    for row, seed in order:
        run = RunFolder(plan.folder(row, seed))
        summary = run.summary()
        if summary is not None:
            cells[row, seed] = Cell(row, seed, run.path, summary, plan.min_positives)
    plan.stages.say(f"{len(cells)} of {len(order)} trainings are finished already")
    for row, seed in order:
        if (row, seed) not in cells:
            plan.stages.say(f"{row}, seed {seed}:")
            _begin(plan, row, seed, variants)
            cells[row, seed] = _train(plan, row, seed, variants[row])
            if finished is not None:
                finished([cells[key] for key in order if key in cells])
    done = [cells[key] for key in order]
    if plan.shared is not None:
        RunFolder(plan.shared).remove()
    if finished is not None:
        finished(done)
    return done


def _begin(plan: Plan, row: str, seed: int, variants: Variants) -> None:
    """Let a training that has not begun start from the warm-up that it shares with other rows, if it does with any."""
    run = RunFolder(plan.folder(row, seed))
    if plan.shared is None or run.can_resume():
        return
    source = plan.source(seed)
    images = len(source.load("train"))
    recipes = {name: plan.recipe(seed, overrides) for name, overrides in variants.items()}
    own = warm_up.of(recipes[row], images)
    if own is None or own not in warm_up.shared(list(recipes.values()), images):
        return
    common = RunFolder(plan.shared / hashlib.sha256(own.dumps().encode()).hexdigest()[:12])
    whole = common.path.with_suffix(".whole")
    if not whole.is_file():
        train(
            source,
            own,
            common,
            Stages(plan.stages.console, common.add_metrics, verbose=plan.stages.verbose),
            device=plan.device,
            resume=common.can_resume(),
            command=plan.command,
            until=own.train.warmup_epochs,
            memory=plan.memory,
        )
        whole.touch()
    warm_up.begin(run, recipes[row], common.path, plan.command)
    plan.stages.say("from the warm-up that it shares with other rows:")


def _train(plan: Plan, row: str, seed: int, overrides: Sequence[str]) -> Cell:
    """Run one training, or go on with it."""
    run = RunFolder(plan.folder(row, seed))
    summary = train(
        plan.source(seed),
        plan.recipe(seed, overrides),
        run,
        Stages(plan.stages.console, run.add_metrics, verbose=plan.stages.verbose),
        device=plan.device,
        resume=run.can_resume(),
        command=plan.command,
        memory=plan.memory,
    )
    return Cell(row, seed, run.path, summary, plan.min_positives)


def check(plan: Plan, variants: Variants, seeds: Sequence[int]) -> None:
    """Refuse what cannot be run, before any work.

    Raises:
        UserError: as for :func:`run_cells`.
    """
    machine.check_device(plan.device)
    loaded: dict[Source, tuple[ImageSet, ImageSet]] = {}
    for seed in seeds:
        source = plan.source(seed)
        if source not in loaded:
            loaded[source] = source.load("train"), source.load("test")
            for split in loaded[source]:
                split.refuse_missing(plan.recipe(seed, ()).views.max_bad_frac)
        images, test = loaded[source]
        if test.truth is None or not test.truth.any():
            raise UserError(
                f"{source.root}: the table needs known labels of test images: give --truth FILE with a split column"
            )
        objects = source.objects(images)
        for row, overrides in variants.items():
            recipe = plan.recipe(seed, overrides)
            view_choice.check(recipe.views, recipe.relabel, objects)
            training_boxes.check(recipe)
            supervision.known(source, recipe, images, ALONE)
            _refuse_another_run(RunFolder(plan.folder(row, seed)), source, recipe, images, test)


def _refuse_another_run(folder: RunFolder, source: Source, recipe: Recipe, images: ImageSet, test: ImageSet) -> None:
    """Refuse a folder that holds a run of something else: its figures would stand in the wrong table."""
    if not folder.can_resume():
        refuse_occupied(folder.path, resume=False, overwrite=False)
        return
    there, stored = origin.origin(folder.path)
    description = folder.read_json("run.json")
    counts = {"train": len(images), "test": len(test)}
    differs = ""
    if there != source.resolved():
        differs = f"another data set ({there.dataset}, {there.root})"
    elif tuple(description["class_names"]) != images.class_names or description["images"] != counts:
        differs = f"other classes or images ({description['images']['train']} to train)"
    elif stored != recipe:
        here, now = changed(stored, recipe), changed(recipe, stored)
        differs = f"another recipe ({', '.join(f'{knob} is {here[knob]} there and {now[knob]} here' for knob in here)})"
    if differs:
        raise UserError(f"{folder.path}: holds a run of {differs}; give another --out, or remove it")


def as_csv(cells: Sequence[Cell]) -> str:
    """Give every cell as CSV, with the folder of its run."""
    records = [{**cell.record(), "folder": str(cell.folder)} for cell in cells]
    text = io.StringIO()
    table = csv.DictWriter(text, list(records[0]) if records else [], lineterminator="\n")
    table.writeheader()
    table.writerows(records)
    return text.getvalue()
