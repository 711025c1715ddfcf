"""What is done to a shard: scored, debiased, looked at again where a student points, or predicted by one.

A step is sent to its actor as it is here, small; what it opens (a teacher, a student) it opens there, and keeps.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.cluster import table_files
from ccd_fast.cluster.shards import Shard, Staged, images_of
from ccd_fast.cluster.storage import Place
from ccd_fast.cluster.table_files import Seen
from ccd_fast.datasets import ImageSet
from ccd_fast.labels import PseudoLabels, Update, update_labels
from ccd_fast.labels.table import FirstLabels
from ccd_fast.outputs import Labelled, decisions, labelling, trained
from ccd_fast.outputs.guide import open_guide
from ccd_fast.prompts import names_of
from ccd_fast.recipes import Recipe
from ccd_fast.runs import Stages
from ccd_fast.student import Reading
from ccd_fast.student import engine as student_engine
from ccd_fast.student import predict as look
from ccd_fast.training.passes import evaluation_conditions, open_passes

MANY = 2**40
"""Pictures that a student is said to look at, where nobody has counted them: an engine pays."""


@dataclass(frozen=True)
class Job:
    """What all steps know.

    Attributes:
        source: of the photographs.
        out: where everything goes.
        prompt_names: C names, as :attr:`ImageSet.prompt_names` holds them.
        device: where the networks run: ``"auto"`` is settled where the actor is.
        threads: that an actor has.
    """

    source: Place
    out: Place
    prompt_names: tuple[str, ...]
    device: str = "auto"
    threads: int = 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """Give the C names that labels have."""
        return tuple(names_of(prompt_name)[0] for prompt_name in self.prompt_names)


class Step(Protocol):
    """What an actor does.

    Attributes:
        writes: the folder of the tables that it writes.
        looks: whether it needs the photographs.
        job: what all steps know.
    """

    writes: ClassVar[str]
    looks: ClassVar[bool]
    job: Job

    def open(self, images: ImageSet, stages: Stages, device: str) -> None:
        """Open what the step looks with; these are the images that come first.

        Raises:
            UserError: it cannot be had.
        """
        ...

    def do(self, shard: Shard, here: Staged, stages: Stages) -> dict[str, Any]:
        """Do a shard, write its table, and give its record."""
        ...


@dataclass(frozen=True)
class Verdict:
    """How numbers become labels.

    Attributes:
        limits: (C,) float32, a photograph has the classes whose number is at least this.
        most: labels that a photograph has at most, its likeliest; None for all.
        top: numbers that are kept of each photograph; None for all of them.
    """

    limits: NDArray[np.float32]
    most: int | None = None
    top: int | None = None

    def write(self, out: Place, shard: Shard, labelled: Labelled) -> dict[str, Any]:
        """Decide, write, and count."""
        decided = labelling.chosen(labelled, self.limits)
        if self.most is not None:
            decided = decisions.likeliest(labelled, decided, self.most)
        table_files.write_labels(out, shard.name, labelled, decided, self.top)
        counts = {"photographs": len(labelled.images), "unreadable": len(labelled.unreadable)}
        return {**counts, "labels": int(decided.sum()), "by_class": decided.sum(axis=0).tolist()}


@dataclass
class Score:
    """The first pass: the teacher scores whole images and cells. Bias sums are counted, nothing is divided yet."""

    writes: ClassVar[str] = table_files.SCORES
    looks: ClassVar[bool] = True
    job: Job
    recipe: Recipe
    _opened: list[Any] = field(default_factory=list, repr=False)

    def open(self, images: ImageSet, stages: Stages, device: str) -> None:
        """Open the teacher; cells are to be seen as they are: no floor, and no weight of the whole image."""
        bare = self.recipe.labels.model_copy(update={"floor": 0.0, "whole_weight": 0.0})
        recipe = self.recipe.model_copy(update={"labels": bare})
        self._opened = [open_passes(recipe.for_first_labels(), images, None, device, stages.say)]

    def do(self, shard: Shard, here: Staged, stages: Stages) -> dict[str, Any]:
        """Score a shard; its record has the sums of :mod:`ccd_fast.labels.bias`, (C + A) integers."""
        (passes,) = self._opened
        images, classes = here.images, len(here.images.class_names)
        gathered, unreadable = labelling.whole_images(passes, images, stages)
        assert isinstance(gathered, FirstLabels)  # the published code's passes are refused before
        # An update that weighs the old label with 0, without a floor and with a bias of 1, leaves the cells' maximum.
        nothing = torch.zeros(classes, dtype=torch.int64)
        best = PseudoLabels(
            torch.zeros((len(images), classes)), torch.ones(classes), nothing, gathered.confident, gathered.readable
        )
        lost = labelling.cells(passes, images, self.recipe, best, stages)
        looked = gathered.readable.clone()
        looked[list(lost)] = False
        unreadable |= lost
        has_cells = bool(self.recipe.labels.grids)
        seen = Seen(
            here.keys, gathered.scores, best.table if has_cells else None, gathered.readable, looked, unreadable
        )
        table_files.write_scores(self.job.out, shard.name, seen)
        sums = {"bias_sums": gathered.bias_sums.tolist(), "bias_counts": gathered.bias_counts.tolist()}
        return {"photographs": len(images), "unreadable": len(unreadable), **sums}


@dataclass
class Debias:
    """The second pass: the bias of all shards is divided out of the scores of one (section 2)."""

    writes: ClassVar[str] = table_files.LABELS
    looks: ClassVar[bool] = False
    job: Job
    recipe: Recipe
    bias: torch.Tensor
    verdict: Verdict

    def open(self, images: ImageSet, stages: Stages, device: str) -> None:
        """Nothing is looked at again."""

    def do(self, shard: Shard, here: Staged, stages: Stages) -> dict[str, Any]:  # noqa: ARG002 - a step's arguments
        """Debias a shard."""
        knobs = self.recipe.labels
        seen = table_files.read_scores(self.job.out, shard.name)
        labels = labelling.with_bias(seen.scores, seen.readable, self.bias, knobs.floor)
        rows = seen.looked.nonzero().flatten()
        if seen.best is not None and len(rows):
            update_labels(labels, rows, seen.best[rows], Update(knobs.floor, knobs.whole_weight))
        images = images_of(Path(), seen.keys, self.job.prompt_names)
        by = f"teacher {self.recipe.teacher.model}"
        labelled = Labelled(images, labels.table, labels.readable, seen.unreadable, by, self.verdict.limits)
        return self.verdict.write(self.job.out, shard, labelled)


@dataclass
class LookAgain:
    """Labels by a trained run, whose bias is known: one pass, where its teacher looks again (section 4)."""

    writes: ClassVar[str] = table_files.LABELS
    looks: ClassVar[bool] = True
    job: Job
    run: Path
    verdict: Verdict
    _opened: list[Any] = field(default_factory=list, repr=False)

    def open(self, images: ImageSet, stages: Stages, device: str) -> None:
        """Open the run; its student runs on what it would run on for many photographs."""
        model = trained.load(self.run)
        knobs = model.recipe.student
        runtime = student_engine.choose(knobs.runtime, MANY, torch.device(device).type)
        recipe = model.recipe.model_copy(update={"student": knobs.model_copy(update={"runtime": runtime})})
        self._opened = [open_guide(replace(model, recipe=recipe), self.run, images, stages, device)]

    def do(self, shard: Shard, here: Staged, stages: Stages) -> dict[str, Any]:
        """Label a shard."""
        (guide,) = self._opened
        gathered, unreadable = labelling.whole_images(guide.passes, here.images, stages)
        labels = labelling.with_bias(gathered.scores, gathered.readable, guide.bias, guide.recipe.labels.floor)
        unreadable |= labelling.cells(guide.passes, here.images, guide.recipe, labels, stages)
        unreadable |= guide.update(here.images, labels, stages)
        guide.pin(here.under_their_keys(), labels)
        by = f"teacher {guide.recipe.teacher.model}"
        labelled = Labelled(here.under_their_keys(), labels.table, labels.readable, unreadable, by, self.verdict.limits)
        return self.verdict.write(self.job.out, shard, labelled)


@dataclass
class Predict:
    """What a trained student sees: one pass (section 5)."""

    writes: ClassVar[str] = table_files.LABELS
    looks: ClassVar[bool] = True
    job: Job
    run: Path
    checkpoint: str
    verdict: Verdict
    _opened: list[Any] = field(default_factory=list, repr=False)

    def open(self, images: ImageSet, stages: Stages, device: str) -> None:  # noqa: ARG002 - a step's arguments
        """Open the student."""
        model = trained.load(self.run, self.checkpoint)
        backend, _ = evaluation_conditions(model.recipe, device)
        size = model.recipe.student.image_size
        self._opened = [trained.at_work(model, MANY, device), backend, size, model.calibrated]

    def do(self, shard: Shard, here: Staged, stages: Stages) -> dict[str, Any]:
        """Predict a shard."""
        student, backend, size, calibrated = self._opened
        with stages.stage("predict", len(here.images)) as stage:
            seen = look(student, here.images.files_of_all(), Reading(backend), size, stage)
        by = f"student of {self.run.resolve().name}"
        labelled = Labelled(
            here.under_their_keys(),
            calibrated(seen.probabilities),
            seen.readable,
            seen.unreadable,
            by,
            self.verdict.limits,
        )
        return self.verdict.write(self.job.out, shard, labelled)
