"""What a teacher that looks once takes: its first pass and every later one, beside passes with crops."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ccd_fast.bench.load import Load
from ccd_fast.bench.measure import Timing, ratio
from ccd_fast.engines import Store
from ccd_fast.errors import UserError
from ccd_fast.labels.from_maps import Maps, relabel_from_maps
from ccd_fast.labels.training_boxes import TrainingBoxes
from ccd_fast.runs import Stage
from ccd_fast.student import STUDENT_FILTER, Reading
from ccd_fast.teacher.maps import MapTeacher
from ccd_fast.teacher.vocabulary import Vocabulary

UPDATES = 8
"""Label updates that the first pass, in which the teacher looks, is spread over."""
FIRST, LATER, UNASKED = "maps, first pass", "maps, later pass", "maps, later pass, boxes of the training steps"
GIB = 2.0**20
"""No limit."""


@dataclass
class MapPasses:
    """Passes over a load whose boxes are pooled from maps.

    Attributes:
        load: what is measured.
        teacher: that looks once.
        folder: of the stores; each first pass makes one of its own.
    """

    load: Load
    teacher: MapTeacher
    folder: Path
    _made: int = 0

    def __post_init__(self) -> None:
        """Fill a store for the later passes, and look as training steps do for those without the student."""
        self.kept = self._fresh()
        self.update(self.kept)
        load, self.seen = self.load, list[tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]]()
        size, step = load.recipe.student.image_size, load.recipe.train.batch_size
        for first in range(0, len(load.images), step):
            rows = np.arange(first, min(first + step, len(load.images)))
            views = load.backend.whole(load.backend.decode(load.images.files(rows), rows), size, STUDENT_FILTER)
            with torch.inference_mode():
                self.seen.append((torch.from_numpy(rows), load.looker(views)))

    def _fresh(self) -> Maps:
        self._made += 1
        return Maps(self.teacher, self.folder / str(self._made), GIB)

    def first(self) -> tuple[torch.Tensor, Stage]:
        """Run a pass in which the teacher looks at every photograph."""
        return self.update(self._fresh())

    def later(self) -> tuple[torch.Tensor, Stage]:
        """Run a pass in which all maps are there."""
        return self.update(self.kept)

    def unasked(self) -> tuple[torch.Tensor, Stage]:
        """Box the CAMs of all steps of an epoch, and run a pass from them that decodes nothing."""
        load, knobs = self.load, self.load.recipe.relabel
        boxes = TrainingBoxes.none(len(load.images), len(load.images.class_names), knobs.k)
        find = (knobs.min_tau, knobs.cam_threshold, knobs.margin)
        for rows, seen in self.seen:
            boxes.add(rows, seen, np.zeros(len(rows), dtype=bool), load.recipe.student.image_size, find)
        return self.update(self.kept, boxes)

    def update(self, maps: Maps, boxes: TrainingBoxes | None = None) -> tuple[torch.Tensor, Stage]:
        """Run a whole pass on fresh labels; give the table and what was counted."""
        load, labels = self.load, self.load.labels()
        stage = Stage("relabel", len(load.images), lambda _: None)
        reading = Reading(load.backend)
        student = load.looker if boxes is None else None
        relabel_from_maps(load.images, reading, maps, student, labels, load.looks(boxes), load.weighing(), stage)
        return labels.table, stage


def open_passes(load: Load, view_size: int | None, folder: Path) -> MapPasses | str:
    """Open the passes with maps of views of a size, by default the teacher's own; or say why it has no map."""
    try:
        size = view_size or load.teacher.image_size
        teacher = MapTeacher(load.clip, size, load.settings, Store(), Vocabulary(load.teacher.classes.cpu()))
    except UserError as error:
        return str(error)
    return MapPasses(load, teacher, folder)


def calls(passes: MapPasses) -> dict[str, Callable[[], object]]:
    """Give what is timed, by name."""
    return {FIRST: passes.first, LATER: passes.later, UNASKED: passes.unasked}


def record(passes: MapPasses, crops: Timing, timings: Mapping[str, Timing]) -> dict[str, Any]:
    """Give what was measured, JSON-ready.

    Args:
        passes: that were timed.
        crops: passes with crops, of the same rounds.
        timings: of :func:`calls`.
    """
    first, later, unasked = (timings[name] for name in (FIRST, LATER, UNASKED))
    store, images = passes.kept.of(passes.load.images), len(passes.load.images)

    def of_pass(timing: Timing) -> dict[str, Any]:
        return {**timing.record(), "images_per_s": images / timing.median, "times_as_fast": ratio(crops, timing)}

    def over_all(later: Timing) -> float:
        rounds = zip(crops.seconds, first.seconds, later.seconds, strict=True)
        return statistics.median(UPDATES * c / (f + (UPDATES - 1) * n) for c, f, n in rounds)

    table, stage = passes.later()
    return {
        "image_size": passes.teacher.image_size,
        "numbers": passes.teacher.numbers,
        "bytes": store.bytes,
        "bytes_per_image": store.bytes / images,
        "first": of_pass(first),
        "later": of_pass(later),
        "boxes_of_training": of_pass(unasked),
        "shares": {"later": stage.shares(), "boxes_of_training": passes.unasked()[1].shares()},
        "updates": UPDATES,
        "times_as_fast_over_all_updates": {"later": over_all(later), "boxes_of_training": over_all(unasked)},
        "table_apart_from_crops": float((table - passes.load.update()[0]).abs().mean()),
    }
