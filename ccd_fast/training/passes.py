"""How the passes over the images are done: as the method is described, or as the published code does them."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch

from ccd_fast.datasets import ImageSet, ObjectBoxes
from ccd_fast.engines import EmbedPixels, ImageTower, Precision
from ccd_fast.errors import UserError
from ccd_fast.labels import PseudoLabels, training_boxes, view_choice
from ccd_fast.labels.training_boxes import TrainingBoxes
from ccd_fast.recipes import Recipe
from ccd_fast.recipes.knobs import StudentKnobs
from ccd_fast.runs import Stage
from ccd_fast.runs.tables import IN_MEMORY, Tables
from ccd_fast.student import PixelClassifier, Student
from ccd_fast.student.engine import Runtime
from ccd_fast.student.reading import Reading
from ccd_fast.training.memory import Memory
from ccd_fast.training.standard import StandardPasses, view_backend
from ccd_fast.views import ViewBackend


class ClassEmbeddings(Protocol):
    """What a run asks of its teacher outside the passes: t, (C, D) float32, and the scale."""

    classes: torch.Tensor
    scale: float


class WholeImages(Protocol):
    """What the teacher's scores of the whole images gave.

    Attributes:
        scores: p, (N, C) float32; zero in unreadable rows.
        readable: (N,) bool.
        named: (N,) bool, images with a class on top, and none of what stands beside the classes.
    """

    scores: torch.Tensor
    readable: torch.Tensor
    named: torch.Tensor

    def finish(self, floor: float, min_count: int, debias: bool) -> PseudoLabels:
        """Compute bias and first labels; see :meth:`ccd_fast.labels.FirstLabels.finish`."""
        ...


class Passes(Protocol):
    """The teacher's and the student's passes over an ImageSet.

    Attributes:
        reading: what decodes the photographs and makes their views, in training and evaluation too.
        teacher: its class embeddings.
        engine: what the teacher runs on, for ``run.json``.
        student_runtime: what the student runs on outside training, for ``run.json``.
        tower: the image tower of the teacher; None where not every view goes through it.
        looks: the first half of the tower where the teacher looks once; None where it looks at crops.
        precision: of the tower's arithmetic.
        absent_ap: average precision of a class without positives; NaN leaves it out of the mean.
    """

    @property
    def teacher(self) -> ClassEmbeddings:
        """Give the teacher."""
        ...

    reading: Reading
    engine: dict[str, Any]
    student_runtime: Runtime
    tower: ImageTower | None
    looks: ImageTower | None
    precision: Precision
    absent_ap: float

    def whole_images(self, images: ImageSet, stage: Stage) -> tuple[WholeImages, dict[int, str]]:
        """Let the teacher score every whole image; also gives the unreadable rows with the reason (section 1)."""
        ...

    def cells(self, images: ImageSet, labels: PseudoLabels, stage: Stage) -> dict[int, str]:
        """Draw first labels towards what the teacher sees in a grid's cells; gives the unreadable rows (section 2)."""
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
        self,
        student: Student,
        images: ImageSet,
        labels: PseudoLabels,
        tau: float,
        epoch: int,
        stage: Stage,
        kept: TrainingBoxes | None = None,
    ) -> dict[int, str]:
        """Update the labels; gives the unreadable rows with the reason (section 4).

        Where boxes were kept from training, the student is not asked.
        """
        ...


def open_passes(
    recipe: Recipe,
    images: ImageSet,
    objects: ObjectBoxes | None,
    device: str,
    say: Callable[[str], None],
    memory: Memory | None = None,
    tables: Tables = IN_MEMORY,
) -> Passes:
    """Open the passes that a recipe asks for.

    Args:
        recipe: of the run.
        images: of the training.
        objects: boxes that people drew, where there are any.
        device: where everything runs.
        say: shows a line, once nothing can be refused any more.
        memory: of what the teacher has seen in other trainings.
        tables: what the passes gather; their processes share the passes.

    Raises:
        UserError: something that the recipe asks for cannot be had.
    """
    view_choice.check(recipe.views, recipe.relabel, objects)
    training_boxes.check(recipe)
    if recipe.compat == "official":
        if tables.ranks.size > 1 or device != "cpu":
            raise UserError("compat = 'official': one process on the CPU only, as its views depend on their order")
        from ccd_fast.compat.passes import PublishedPasses

        published = PublishedPasses(recipe, images)
        say(
            f"compat = 'official': teacher {recipe.teacher.model}, "
            f"student {recipe.student.backbone}, one view at a time"
        )
        return published
    return StandardPasses(recipe, images, objects, device, say, memory, tables)


LASTS = 100
"""Images from which on a stage lasts long enough for its rate to be held against the device's."""


def least_seconds(
    passes: Passes,
    images: int,
    knobs: StudentKnobs,
    device: str,
    student: Student | None = None,
    training: Precision = "fp32",
) -> dict[str, dict[str, float]]:
    """Give the seconds that a view takes each network at least, by the stage of a run.

    See :mod:`ccd_fast.engines.ceilings`.

    Args:
        passes: of the run.
        images: of the run; the ceiling is not measured for a few of them.
        knobs: of the student: the sides of its views.
        device: where it runs.
        student: None where there is none.
        training: precision of its training.

    Returns:
        Nothing for a few images, or where the passes do not send every view through a tower.
    """
    if passes.tower is None or images < LASTS:
        return {}
    from ccd_fast.engines import ceilings

    def of_tower(tower: ImageTower) -> float:
        return ceilings.least_seconds(EmbedPixels(tower), tower.image_size, passes.precision, device)

    whole = {"teacher": of_tower(passes.tower)}
    again = whole if passes.looks is None else {"maps": of_tower(passes.looks)}
    found = dict.fromkeys(("first labels", "whole images", "zero-shot on the test images", "cells"), whole)
    found["relabel"] = again
    if student is not None:
        size, larger = knobs.image_size, knobs.relabel_size
        of_a_look = {side: ceilings.least_seconds(student, side, "fp32", device) for side in {size, larger}}
        found |= {stage: {"student": of_a_look[size]} for stage in ("first head", "evaluate")}
        found["activity threshold"] = {"student": of_a_look[larger]}
        found["relabel"] = {**again, "student": of_a_look[larger]}
        found["train"] = {"training": ceilings.least_seconds(student, size, training, device, training=True)}
    return found


def evaluation_conditions(recipe: Recipe, device: str = "cpu") -> tuple[ViewBackend, float]:
    """Give what a trained student is evaluated with: the backend of the views, and ``absent_ap`` of :class:`Passes`.

    Raises:
        UserError: the published code's views are wanted on another device than the CPU.
    """
    if recipe.compat == "official":
        if device != "cpu":
            raise UserError("compat = 'official': on the CPU only; use --device cpu")
        from ccd_fast.compat.passes import PublishedPasses
        from ccd_fast.compat.views import PublishedViews

        return PublishedViews(), PublishedPasses.absent_ap
    return view_backend(recipe.views, device), math.nan
