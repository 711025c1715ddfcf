"""What ``bench relabel`` and ``bench train`` measure: photographs, a teacher on its engine, and a student."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ccd_fast import engines, machine
from ccd_fast import student as students
from ccd_fast.datasets import ImageSet
from ccd_fast.datasets.listing import find_images
from ccd_fast.engines import EngineSettings, Precision, Store
from ccd_fast.errors import UserError
from ccd_fast.labels import CropCache, PseudoLabels, Update, ViewChoice
from ccd_fast.labels.relabel import relabel
from ccd_fast.labels.training_boxes import TrainingBoxes
from ccd_fast.labels.view_choice import Cams
from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import Stage
from ccd_fast.student import LOAD_BATCH, PixelClassifier, Reading, Student, predict
from ccd_fast.student import engine as student_engine
from ccd_fast.student.cam import activity_threshold
from ccd_fast.teacher import Clip, Teacher, Vocabulary, class_embeddings, load_clip
from ccd_fast.views import ViewBackend, open_backend

EPOCH = 2
"""Key of what is random in the pass."""


@dataclass(frozen=True)
class Load:
    """What is measured.

    Attributes:
        images: all of them readable.
        backend: of the views.
        clip: the teacher's.
        teacher: with its engine.
        student: in eager PyTorch, in evaluation mode.
        looker: the same on the runtime that a run takes for its passes.
        recipe: the knobs; ``student.image_size`` is the side of the view.
        tau: the activity threshold.
        settings: of the teacher's engine.
    """

    images: ImageSet
    backend: ViewBackend
    clip: Clip
    teacher: Teacher
    student: Student
    looker: PixelClassifier
    recipe: Recipe
    tau: float
    settings: EngineSettings

    @property
    def device(self) -> str:
        """Give the device that all of it runs on."""
        return self.settings.device

    @property
    def teacher_name(self) -> str:
        """Give the teacher's name, of a folder its last part."""
        name = self.clip.name
        return name.rstrip("/").rsplit("/", 1)[-1] if Path(name).is_dir() else name

    def first(self, count: int) -> "Load":
        """Give the same load with the first images only."""
        images = replace(self.images, paths=self.images.paths[:count], known=self.images.known[:count])
        return replace(self, images=images)

    def labels(self) -> PseudoLabels:
        """Give labels to update: the same at every call."""
        size = (len(self.images), len(self.images.class_names))
        table = torch.rand(size, generator=torch.Generator().manual_seed(0))
        counts, marks = torch.ones(size[1], dtype=torch.int64), torch.ones(size[0], dtype=torch.bool)
        return PseudoLabels(table, torch.full((size[1],), 0.5), counts, marks, marks)

    def looks(self, kept: TrainingBoxes | None = None) -> ViewChoice:
        """Give what chooses the crops: the student's CAMs, or boxes that were kept."""
        recipe, size = self.recipe, (len(self.images), len(self.images.class_names))
        cams = Cams(recipe.student.image_size, self.tau, kept)
        return ViewChoice(recipe.views, recipe.relabel, cams, size, (recipe.seed, EPOCH), None)

    def weighing(self) -> Update:
        """Give how the labels are updated: lambda is the recipe's, as in a first update."""
        return Update(self.recipe.labels.floor, self.recipe.relabel.ema)

    def update(self, cache: CropCache | None = None) -> tuple[torch.Tensor, Stage]:
        """Run a whole pass on fresh labels; give the table and what was counted."""
        labels, stage = self.labels(), Stage("relabel", len(self.images), lambda _: None)
        parts = (self.images, Reading(self.backend), self.teacher, self.looker)
        relabel(*parts, labels, self.looks(), self.weighing(), stage, cache)
        return labels.table, stage


def open_load(
    root: Path,
    count: int,
    class_names: tuple[str, ...],
    teacher: str,
    batch_size: int,
    backbone: str,
    weights: str,
    image_size: int,
    views: str = "auto",
    student_runtime: Literal["auto", "torch", "onnxruntime"] = "auto",
    device: str = "cpu",
    runtime: str = "auto",
    precision: Precision | Literal["auto"] = "auto",
) -> Load:
    """Open everything that a pass needs.

    Args:
        root: folder of photographs.
        count: images at most, the first by name.
        class_names: C names.
        teacher: as :func:`ccd_fast.teacher.clip.load_clip` takes it.
        batch_size: of the engine.
        backbone: of the student, as timm names it.
        weights: of the student; ``"none"`` draws them.
        image_size: side of the student's view in pixels.
        views: backend of the views.
        student_runtime: as :func:`ccd_fast.student.engine.choose` takes it; ``"auto"`` is what a long run takes.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        runtime: of the teacher's engine.
        precision: of the teacher's engine.

    Raises:
        UserError: there is no such folder, no image in it that can be read, or something else cannot be had.
    """
    if not root.is_dir():
        raise UserError(f"--data-root {root}: no such folder")
    place = machine.check_device(device)
    looks_on = student_engine.choose(student_runtime, student_engine.PAYS_FROM, place.type)
    backend = open_backend(views, torch.get_num_threads(), device)
    paths = find_images(root)[:count]
    kept = backend_reads(backend, root, paths)
    if not kept:
        raise UserError(f"--data-root {root}: no image in it that can be read")
    known = np.zeros(len(kept), dtype=bool)
    images = ImageSet("folder", "train", root, kept, class_names, class_names, None, known)
    clip = load_clip(teacher)
    settings = engines.settings(runtime, precision, batch_size, device)
    engine = engines.open_engine(clip.tower, settings, Store())
    settings = replace(settings, runtime=engine.runtime)
    recipe = config.load("folder", [f"student.image_size={image_size}", f"student.backbone='''{backbone}'''"])
    judge = Teacher(clip, engine, Vocabulary(class_embeddings(clip, class_names, recipe.teacher.templates)).to(place))
    net = students.build(backbone, len(class_names), recipe.student.alpha, weights).eval().to(place)
    looker = student_engine.open_student(net, looks_on, image_size, Store())
    seen = predict(
        looker, images.files_of_all(), Reading(backend), image_size, Stage("tau", len(images), lambda _: None)
    )
    tau = activity_threshold(seen.probabilities, recipe.relabel.k, recipe.relabel.min_tau)
    return Load(images, backend, clip, judge, net, looker, recipe, tau, settings)


def backend_reads(backend: ViewBackend, root: Path, paths: list[str]) -> tuple[str, ...]:
    """Give the paths that can be read, decoding a few at a time."""
    kept: list[str] = []
    for first in range(0, len(paths), LOAD_BATCH):
        rows = np.arange(first, min(first + LOAD_BATCH, len(paths)))
        kept += [paths[row] for row in backend.decode([root / paths[row] for row in rows], rows).rows]
    return tuple(kept)
