"""How the passes over the images are done: as the method is described, or as the published code does them."""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from ccd_fast import ceilings, engines, student_engine, view_choice
from ccd_fast.cam import activity_threshold
from ccd_fast.checked_engines import open_checked
from ccd_fast.compat import quirks, rules
from ccd_fast.compat.passes import PublishedPasses
from ccd_fast.compat.views import PublishedViews
from ccd_fast.config import Recipe
from ccd_fast.crop_cache import CropCache
from ccd_fast.datasets import ImageSet
from ccd_fast.engines import ImageTower, Precision
from ccd_fast.engines.tower import EmbedPixels
from ccd_fast.errors import UserError
from ccd_fast.memory import Memory
from ccd_fast.object_boxes import ObjectBoxes
from ccd_fast.prediction import predict
from ccd_fast.progress import Stage
from ccd_fast.pseudo_labels import FirstLabels, PseudoLabels
from ccd_fast.ranks import ALONE, Ranks
from ccd_fast.relabel import relabel, relabel_image_size, score_whole_images
from ccd_fast.student import PixelClassifier, Student
from ccd_fast.teacher import Clip, Teacher, class_embeddings, load_clip
from ccd_fast.views import ViewBackend, open_backend


class ClassEmbeddings(Protocol):
    """What a run asks of its teacher outside the passes: t, (C, D) float32, and the scale."""

    classes: torch.Tensor
    scale: float


class WholeImages(Protocol):
    """What the teacher's scores of the whole images gave.

    Attributes:
        scores: p, (N, C) float32; zero in unreadable rows.
        readable: (N,) bool.
    """

    scores: torch.Tensor
    readable: torch.Tensor

    def finish(self, floor: float, min_count: int, debias: bool) -> PseudoLabels:
        """Compute bias and first labels; see :meth:`ccd_fast.pseudo_labels.FirstLabels.finish`."""
        ...


class Passes(Protocol):
    """The teacher's and the student's passes over an ImageSet.

    Attributes:
        backend: of the views, in training and evaluation too.
        teacher: its class embeddings.
        engine: what the teacher runs on, for ``run.json``.
        student_runtime: what the student runs on outside training, for ``run.json``.
        tower: the image tower of the teacher; None where not every view goes through it.
        precision: of the tower's arithmetic.
        absent_ap: average precision of a class without positives; NaN leaves it out of the mean.
    """

    @property
    def backend(self) -> ViewBackend:
        """Give the backend of the views."""
        ...

    @property
    def teacher(self) -> ClassEmbeddings:
        """Give the teacher."""
        ...

    engine: dict[str, Any]
    student_runtime: student_engine.Runtime
    tower: ImageTower | None
    precision: Precision
    absent_ap: float

    def whole_images(self, images: ImageSet, stage: Stage) -> tuple[WholeImages, dict[int, str]]:
        """Let the teacher score every whole image; also gives the unreadable rows with the reason (section 1)."""
        ...

    def prepare(self, student: Student) -> None:
        """Build what :meth:`at_work` needs, before any work is done."""
        ...

    def at_work(self, student: Student, image_size: int, stage: Stage) -> PixelClassifier:
        """Give what runs the student outside training, with the weights that it has now."""
        ...

    def activity_threshold(self, student: Student, images: ImageSet, epoch: int, stage: Stage) -> float:
        """Set tau from the student's probabilities (section 4)."""
        ...

    def relabel(
        self, student: Student, images: ImageSet, labels: PseudoLabels, tau: float, epoch: int, stage: Stage
    ) -> dict[int, str]:
        """Update the labels in place; gives the unreadable rows with the reason (section 4)."""
        ...


class StandardPasses:
    """The passes as the method describes them: through an engine, in batches."""

    absent_ap = math.nan

    def __init__(
        self,
        recipe: Recipe,
        images: ImageSet,
        objects: ObjectBoxes | None,
        device: str,
        say: Callable[[str], None],
        memory: Memory | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Load the teacher and open its engine, building it where it is missing."""
        knobs = recipe.teacher
        clip = load_clip(knobs.model, knobs.image_size, say)
        embeddings = class_embeddings(clip, images.prompt_names, knobs.templates)
        backend = _backend(recipe, device)
        say(f"teacher {clip.name}, input {clip.tower.image_size} px: opening its engine (built once, then kept)")
        settings = engines.settings(knobs.runtime, knobs.precision, knobs.batch_size, device)
        engine, parity = open_checked(
            clip,
            settings,
            engines.Store(),
            embeddings,
            partial(first_views, images, clip, backend),
        )
        self.recipe = recipe
        self.objects = objects
        self.backend = backend
        self.teacher = Teacher(clip, engine if memory is None else memory.engine(engine), embeddings.to(device))
        looks = looks_of_the_student(recipe, len(images))
        self.student_runtime = student_engine.choose(recipe.student.runtime, looks, torch.device(device).type)
        self.tower = clip.tower if memory is None else None
        self.precision = settings.precision
        self.ranks = ranks
        self.cache = CropCache(recipe.relabel.cache_mib * 2**20)
        self.engine = {"runtime": engine.runtime, "key": engine.key, "parity": asdict(parity) if parity else None}

    def whole_images(self, images: ImageSet, stage: Stage) -> tuple[FirstLabels, dict[int, str]]:
        """Score the whole images; see :func:`ccd_fast.relabel.score_whole_images`."""
        limit = self.recipe.labels.max_entropy
        return score_whole_images(images, self.backend, self.teacher, limit, stage, self.ranks)

    def prepare(self, student: Student) -> None:
        """Export the student's graphs where the store lacks them, and compare them with eager PyTorch."""
        for size in {self.recipe.student.image_size, relabel_image_size(self.recipe)}:
            student_engine.open_student(student, self.student_runtime, size, engines.Store())

    def at_work(self, student: Student, image_size: int, stage: Stage) -> PixelClassifier:
        """Open the student; see :func:`ccd_fast.student_engine.open_student`. A refit is part of the stage's time."""
        with stage.part("refit"):
            return student_engine.open_student(student, self.student_runtime, image_size, engines.Store())

    def activity_threshold(
        self,
        student: Student,
        images: ImageSet,
        epoch: int,  # noqa: ARG002 - nothing here is random
        stage: Stage,
    ) -> float:
        """Set tau on the relabel views of all images, in one pass."""
        size = relabel_image_size(self.recipe)
        seer = self.at_work(student, size, stage)
        seen = predict(seer, images.files_of_all(), self.backend, size, stage, self.ranks)
        return activity_threshold(seen.probabilities[seen.readable], self.recipe.relabel.k, self.recipe.relabel.min_tau)

    def relabel(
        self, student: Student, images: ImageSet, labels: PseudoLabels, tau: float, epoch: int, stage: Stage
    ) -> dict[int, str]:
        """Update the labels; see :func:`ccd_fast.relabel.relabel`."""
        seer = self.at_work(student, relabel_image_size(self.recipe), stage)
        return relabel(
            images,
            self.backend,
            self.teacher,
            seer,
            labels,
            tau,
            epoch,
            self.recipe,
            stage,
            self.objects,
            self.cache,
            self.ranks,
        )


def updates_labels(recipe: Recipe, epoch: int) -> bool:
    """Tell whether an epoch starts with a label update: ``relabel.epochs`` of them after the warm-up."""
    warmup, updates = recipe.train.warmup_epochs, recipe.relabel.epochs
    return epoch >= warmup and (updates == "every" or epoch < warmup + int(updates))


def looks_of_the_student(recipe: Recipe, images: int) -> int:
    """Count the forward passes of a run's label updates: one an update, and one each time that tau is set."""
    updates = sum(updates_labels(recipe, epoch) for epoch in range(recipe.train.epochs))
    thresholds = updates if recipe.relabel.tau == "every" else min(updates, 1)
    return images * (updates + thresholds)


def least_seconds(
    passes: Passes, recipe: Recipe, device: str, student: Student | None = None, training: Precision = "fp32"
) -> dict[str, dict[str, float]]:
    """Give the seconds that a view takes each network at least, by the stage of a run; see :mod:`ccd_fast.ceilings`.

    Args:
        passes: of the run.
        recipe: of the run.
        device: where it runs.
        student: None where there is none.
        training: precision of its training.

    Returns:
        Nothing where the passes do not send every view through a tower.
    """
    if passes.tower is None:
        return {}
    tower = EmbedPixels(passes.tower)
    teacher = ceilings.least_seconds(tower, passes.tower.image_size, passes.precision, device)
    whole = {"teacher": teacher}
    found = dict.fromkeys(("first labels", "whole images", "zero-shot on the test images", "relabel"), whole)
    if student is not None:
        size, again = recipe.student.image_size, relabel_image_size(recipe)
        of_a_look = {side: ceilings.least_seconds(student, side, "fp32", device) for side in {size, again}}
        found |= {"activity threshold": {"student": of_a_look[again]}, "evaluate": {"student": of_a_look[size]}}
        found["relabel"] = {**whole, "student": of_a_look[again]}
        found["train"] = {"training": ceilings.least_seconds(student, size, training, device, training=True)}
    return found


def settled(recipe: Recipe) -> Recipe:
    """Give the recipe that will be run: in compat mode, with what the published code does whatever it is asked.

    Raises:
        UserError: a knob would not be heeded.
    """
    return rules.settled(recipe) if recipe.compat == "official" else recipe


def open_passes(
    recipe: Recipe,
    images: ImageSet,
    objects: ObjectBoxes | None,
    device: str,
    say: Callable[[str], None],
    memory: Memory | None = None,
    ranks: Ranks = ALONE,
) -> Passes:
    """Open the passes that a recipe asks for.

    Args:
        recipe: as :func:`settled` gives it.
        images: of the training.
        objects: boxes that people drew, where there are any.
        device: where everything runs.
        say: shows a line, once nothing can be refused any more.
        memory: of what the teacher has seen in other trainings.
        ranks: the processes that share the passes.

    Raises:
        UserError: something that the recipe asks for cannot be had.
    """
    view_choice.check(recipe, objects)
    if recipe.compat == "official":
        if ranks.size > 1 or device != "cpu":
            raise UserError("compat = 'official': one process on the CPU only, as its views depend on their order")
        published = PublishedPasses(recipe, images)
        say(
            f"compat = 'official': teacher {recipe.teacher.model}, "
            f"student {recipe.student.backbone}, one view at a time"
        )
        return published
    return StandardPasses(recipe, images, objects, device, say, memory, ranks)


def first_views(images: ImageSet, clip: Clip, backend: ViewBackend, count: int) -> torch.Tensor:
    """Give the teacher's views of the first images that can be read, for the check of its engine."""
    rows = np.arange(min(count, len(images)))
    photographs = backend.decode(images.files(rows), rows)
    return backend.whole(photographs, clip.tower.image_size, clip.tower.interpolation)


def _backend(recipe: Recipe, device: str = "cpu") -> ViewBackend:
    knobs = recipe.views
    return open_backend(knobs.backend, torch.get_num_threads(), device, knobs.max_megapixels)


def evaluation_conditions(recipe: Recipe) -> tuple[ViewBackend, float]:
    """Give what a trained student is evaluated with: the backend of the views, and ``absent_ap`` of :class:`Passes`."""
    if recipe.compat == "official":
        return PublishedViews(), quirks.ABSENT_CLASS_AP
    return _backend(recipe), math.nan
