"""The passes over the images as the method describes them: through an engine, in batches."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ccd_fast import engines
from ccd_fast.datasets import ImageSet, ObjectBoxes
from ccd_fast.engines import cache
from ccd_fast.labels import CropCache, FirstLabels, PseudoLabels, Update, ViewChoice
from ccd_fast.labels.relabel import relabel
from ccd_fast.labels.training_boxes import TrainingBoxes
from ccd_fast.labels.view_choice import Cams
from ccd_fast.labels.whole_images import score_whole_images
from ccd_fast.recipes import Recipe
from ccd_fast.recipes.knobs import ViewKnobs
from ccd_fast.runs import Stage
from ccd_fast.runs.tables import IN_MEMORY, Tables
from ccd_fast.student import PixelClassifier, Student, predict
from ccd_fast.student import engine as student_engine
from ccd_fast.student.cam import activity_threshold
from ccd_fast.student.reading import Reading
from ccd_fast.teacher import Clip, Teacher, kept
from ccd_fast.teacher.checked_engines import open_checked
from ccd_fast.teacher.vocabulary import Vocabulary
from ccd_fast.teacher.words import vocabulary_of
from ccd_fast.training.kept_views import KeptViews
from ccd_fast.training.memory import Memory
from ccd_fast.views import ViewBackend, open_backend

if TYPE_CHECKING:
    from ccd_fast.labels.from_maps import Maps


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
        tables: Tables = IN_MEMORY,
    ) -> None:
        """Load the teacher and open its engine, building it where it is missing."""
        knobs = recipe.teacher
        clip = kept.load_clip(knobs.model, knobs.image_size, say)
        beside = recipe.labels.anchors_for(len(images.class_names))
        vocabulary, lines = vocabulary_of(clip, images.prompt_names, knobs, beside, device)
        backend = view_backend(recipe.views, device)
        say(f"teacher {clip.name}, input {clip.tower.image_size} px: opening its engine (built once, then kept)")
        views = engines.batch_size(knobs.batch_size, knobs.runtime, device, clip.tower.image_size)
        settings = engines.settings(knobs.runtime, knobs.precision, views, device)
        engine, parity = open_checked(
            clip,
            settings,
            engines.Store(),
            vocabulary.classes,
            partial(first_views, images, clip, backend),
        )
        self.engine: dict[str, Any] = {
            "runtime": engine.runtime,
            "key": engine.key,
            "batch_size": engine.batch_size,
            "parity": asdict(parity) if parity else None,
        }
        self.recipe = recipe
        self.objects = objects
        if memory is not None and torch.device(device).type == "cpu":
            backend = KeptViews(backend, memory, f"up to {recipe.views.max_megapixels:g} MP")
        self.reading = Reading(backend, tables)
        for line in lines:
            say(line)
        vocabulary = vocabulary.to(device)
        seen = engine if memory is None else memory.engine(engine)
        self.teacher = Teacher(clip, seen, vocabulary, knobs.temperature)
        looks = recipe.looks_of_the_student(len(images))
        self.student_runtime = student_engine.choose(recipe.student.runtime, looks, torch.device(device).type)
        self.tower = clip.tower if memory is None else None
        self.precision = settings.precision
        self.cache = CropCache(recipe.relabel.cache_mib * 2**20)
        self.maps: Maps | None = None
        self.looks: engines.ImageTower | None = None
        if self._looks_once(clip.tower, say):
            say("maps: opening the engine of what the teacher looks once with (built once, then kept)")
            self.maps, facts = open_maps(
                clip,
                engine.runtime,
                settings,
                vocabulary,
                recipe,
                partial(first_views, images, clip, backend),
            )
            self.looks = self.maps.teacher.tower.looks
            self.engine["maps"] = facts
            from ccd_fast.labels.map_store import beyond_budget

            if line := beyond_budget(len(images), self.maps.teacher.numbers, self.maps.gib):
                say(line)

    def _looks_once(self, tower: engines.ImageTower, say: Callable[[str], None]) -> bool:
        """Settle whether label updates are of maps, and say what became of ``"auto"``."""
        wanted = self.recipe.relabel.teacher
        if wanted != "auto" or not any(map(self.recipe.updates_labels, range(self.recipe.train.epochs))):
            return wanted == "maps"
        from ccd_fast.engines.map_towers import is_projected

        once = is_projected(tower)
        how = "maps, for which the teacher looks once" if once else "crops, as this teacher's maps are not measured"
        say(f"label updates: from {how} (relabel.teacher)")
        return once

    def whole_images(self, images: ImageSet, stage: Stage) -> tuple[FirstLabels, dict[int, str]]:
        """Score the whole images; see :func:`ccd_fast.labels.whole_images.score_whole_images`."""
        limit = self.recipe.entropy_limit(len(images.class_names) + self.teacher.anchors)
        return score_whole_images(images, self.reading, self.teacher, limit, stage)

    def prepare(self, student: Student) -> None:
        """Export the student's graphs where the store lacks them, and compare them with eager PyTorch."""
        for size in {self.recipe.student.image_size, self.recipe.student.relabel_size}:
            student_engine.open_student(student, self.student_runtime, size, engines.Store())

    def at_work(self, student: Student, image_size: int, stage: Stage) -> PixelClassifier:
        """Open the student; see :func:`ccd_fast.student.engine.open_student`. A refit is part of the stage's time."""
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
        size = self.recipe.student.relabel_size
        seer = self.at_work(student, size, stage)
        seen = predict(seer, images.files_of_all(), self.reading, size, stage)
        knobs = self.recipe.relabel
        return activity_threshold(seen.probabilities, knobs.k, knobs.min_tau, seen.readable)

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
        """Update the labels; see :func:`ccd_fast.labels.relabel.relabel`."""
        recipe, size = self.recipe, self.recipe.student.relabel_size
        seer = None if kept is not None else self.at_work(student, size, stage)
        key, of_all = (recipe.seed, epoch), (len(images), len(images.class_names))
        looks = ViewChoice(recipe.views, recipe.relabel, Cams(size, tau, kept), of_all, key, self.objects)
        limit = recipe.entropy_limit(len(images.class_names))
        again = (limit, recipe.bias.min_count) if recipe.bias.debias and recipe.bias.again else None
        update = Update(recipe.labels.floor, recipe.weight_of_the_old(epoch), again)
        if self.maps is not None:
            from ccd_fast.labels.from_maps import relabel_from_maps

            return relabel_from_maps(images, self.reading, self.maps, seer, labels, looks, update, stage)
        return relabel(images, self.reading, self.teacher, seer, labels, looks, update, stage, self.cache)

    def cells(self, images: ImageSet, labels: PseudoLabels, stage: Stage) -> dict[int, str]:
        """Draw the first labels towards what the teacher sees in the cells of the grids, as an update does.

        Cells are crops, though updates be of maps: they are looked at once, and small objects are seen better in them.
        """
        knobs = self.recipe.labels
        views = self.recipe.views.model_copy(update={"choice": "grid"})
        of_all = (len(images), len(images.class_names))
        looks = ViewChoice(views, self.recipe.relabel, Cams(0, 1.0), of_all, (self.recipe.seed, 0), None, knobs.grids)
        update = Update(knobs.floor, knobs.whole_weight)
        return relabel(images, self.reading, self.teacher, None, labels, looks, update, stage)


def open_maps(
    clip: Clip,
    runtime: str,
    settings: engines.EngineSettings,
    vocabulary: Vocabulary,
    recipe: Recipe,
    views: Callable[..., torch.Tensor],
) -> tuple["Maps", dict[str, Any]]:
    """Open the teacher that looks once, on the runtime of the one that looks at crops, and compare it with PyTorch.

    Returns:
        It, and what ``run.json`` says of it.

    Raises:
        UserError: the tower has no map.
        RunError: its engines are beyond the limits of their precision.
    """
    from ccd_fast.labels.from_maps import Maps
    from ccd_fast.teacher.maps import MapTeacher

    knobs, store = recipe.relabel, engines.Store()
    size = maps_size(knobs.maps_size, clip.tower.image_size)
    own = replace(settings, runtime=runtime)
    teacher = MapTeacher(clip, size, own, store, vocabulary, recipe.teacher.temperature)
    parity = teacher.parity(partial(views, size=size), store)
    facts = {"image_size": size, "numbers": teacher.numbers, "parity": asdict(parity) if parity else None}
    return Maps(teacher, cache.writable(engines.default_folder() / "maps"), knobs.maps_gib), facts


def maps_size(wanted: int | Literal["native", "auto"], native: int) -> int:
    """Give the side of the view that maps are of, in pixels: ``"auto"`` is 320 for a teacher of 224."""
    return native if wanted == "native" else round(native * 10 / 7 / 32) * 32 if wanted == "auto" else wanted


def first_views(images: ImageSet, clip: Clip, backend: ViewBackend, count: int, size: int = 0) -> torch.Tensor:
    """Give the teacher's views of the first images that can be read, for a check of its engine; 0 is its own size."""
    rows = np.arange(min(count, len(images)))
    photographs = backend.decode(images.files(rows), rows)
    return backend.whole(photographs, size or clip.tower.image_size, clip.tower.interpolation)


def view_backend(knobs: ViewKnobs, device: str = "cpu") -> ViewBackend:
    """Open the backend that a recipe asks for, with torch's number of threads."""
    return open_backend(knobs.backend, torch.get_num_threads(), device, knobs.max_megapixels)
