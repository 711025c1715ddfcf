"""``ccd-fast bench relabel``: a whole relabel pass, beside its engine, its stages alone, and the bare libraries.

Everything is timed in one run, in turn, and a ratio is the median of the ratios of each round: a machine that slows
down slows both sides of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import config, engines, student_engine
from ccd_fast import student as students
from ccd_fast.bench import bare, measure
from ccd_fast.bench.measure import Timing, ratio
from ccd_fast.cam import activity_threshold
from ccd_fast.config import Recipe
from ccd_fast.crop_cache import CropCache, distinct
from ccd_fast.datasets import ImageSet
from ccd_fast.datasets.folder import find_images
from ccd_fast.engines import Store
from ccd_fast.errors import UserError
from ccd_fast.prediction import LOAD_BATCH, STUDENT_FILTER, predict
from ccd_fast.progress import Stage
from ccd_fast.pseudo_labels import PseudoLabels, update_labels
from ccd_fast.relabel import relabel
from ccd_fast.student import PixelClassifier, Student
from ccd_fast.teacher import Clip, Teacher, class_embeddings, load_clip
from ccd_fast.view_choice import ViewChoice
from ccd_fast.views import Photographs, ViewBackend, open_backend

STAGES = ("decode", "views", "student", "boxes", "crops", "teacher", "update")
RELABEL_PASS, UNMOVED, ENGINE = "pass", "pass, boxes unmoved", "engine"
EPOCH = 2


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
    """

    images: ImageSet
    backend: ViewBackend
    clip: Clip
    teacher: Teacher
    student: Student
    looker: PixelClassifier
    recipe: Recipe
    tau: float

    @property
    def teacher_name(self) -> str:
        """Give the teacher's name, of a folder its last part."""
        name = self.clip.name
        return name.rstrip("/").rsplit("/", 1)[-1] if Path(name).is_dir() else name

    def labels(self) -> PseudoLabels:
        """Give labels to update: the same at every call."""
        size = (len(self.images), len(self.images.class_names))
        table = torch.rand(size, generator=torch.Generator().manual_seed(0))
        counts, marks = torch.ones(size[1], dtype=torch.int64), torch.ones(size[0], dtype=torch.bool)
        return PseudoLabels(table, torch.full((size[1],), 0.5), counts, marks, marks)

    def update(self, cache: CropCache | None = None) -> tuple[torch.Tensor, Stage]:
        """Run a whole pass on fresh labels; give the table and what was counted."""
        labels, stage = self.labels(), Stage("relabel", len(self.images), lambda _: None)
        parts = (self.images, self.backend, self.teacher, self.looker)
        relabel(*parts, labels, self.tau, EPOCH, self.recipe, stage, cache=cache)
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
) -> Load:
    """Open everything that a pass needs.

    Args:
        root: folder of photographs.
        count: images at most, the first by name.
        class_names: C names.
        teacher: as :func:`ccd_fast.teacher.load_clip` takes it.
        batch_size: of the engine.
        backbone: of the student, as timm names it.
        weights: of the student; ``"none"`` draws them.
        image_size: side of the student's view in pixels.
        views: backend of the views.
        student_runtime: as :func:`ccd_fast.student_engine.choose` takes it; ``"auto"`` is what a long run takes.

    Raises:
        UserError: there is no such folder, no image in it that can be read, or something else cannot be had.
    """
    if not root.is_dir():
        raise UserError(f"--data-root {root}: no such folder")
    runtime = student_engine.choose(student_runtime, student_engine.PAYS_FROM)
    backend = open_backend(views, torch.get_num_threads())
    paths = find_images(root)[:count]
    kept = backend_reads(backend, root, paths)
    if not kept:
        raise UserError(f"--data-root {root}: no image in it that can be read")
    known = np.zeros(len(kept), dtype=bool)
    images = ImageSet("folder", "train", root, kept, class_names, class_names, None, known)
    clip = load_clip(teacher)
    engine = engines.open_engine(clip.tower, engines.settings("auto", "auto", batch_size, "cpu"), Store())
    recipe = config.load("folder", [f"student.image_size={image_size}"])
    judge = Teacher(clip, engine, class_embeddings(clip, class_names, recipe.teacher.templates))
    net = students.build(backbone, len(class_names), recipe.student.alpha, weights).eval()
    looker = student_engine.open_student(net, runtime, image_size, Store())
    seen = predict(looker, images.files_of_all(), backend, image_size, Stage("tau", len(images), lambda _: None))
    tau = activity_threshold(seen.probabilities, recipe.relabel.k, recipe.relabel.min_tau)
    return Load(images, backend, clip, judge, net, looker, recipe, tau)


def backend_reads(backend: ViewBackend, root: Path, paths: list[str]) -> tuple[str, ...]:
    """Give the paths that can be read, decoding a few at a time."""
    kept: list[str] = []
    for first in range(0, len(paths), LOAD_BATCH):
        rows = np.arange(first, min(first + LOAD_BATCH, len(paths)))
        kept += [paths[row] for row in backend.decode([root / paths[row] for row in rows], rows).rows]
    return tuple(kept)


class Alone:
    """The arrays that pass from stage to stage in a pass, held in memory, and each stage on them alone."""

    def __init__(self, load: Load) -> None:
        """Run the stages once, and hold what each of them takes."""
        self.load = load
        self.size = load.recipe.student.image_size
        self.looks = ViewChoice(load.recipe, EPOCH, len(load.images), len(load.images.class_names), None)
        rows = np.arange(len(load.images))
        self.batches = [rows[first : first + LOAD_BATCH] for first in range(0, len(rows), LOAD_BATCH)]
        self.held = self.decode()
        self.squares = self.views()
        self.seen = self.run_student()
        self.asked = self.boxes()
        self.pixels = torch.cat(self.crops())
        if not len(self.pixels):
            raise UserError("bench relabel: no class is active in any image, so that there is nothing to measure")
        owners = zip(self.held, self.asked, strict=True)
        self.rows = torch.from_numpy(np.concatenate([batch.rows[owner] for batch, (owner, _) in owners]))
        self.scores = self.score()
        self.labels = load.labels()

    def decode(self) -> list[Photographs]:
        """Read and decode all images."""
        return [self.load.backend.decode(self.load.images.files(rows), rows) for rows in self.batches]

    def views(self) -> list[torch.Tensor]:
        """Make their whole views."""
        return [self.load.backend.whole(batch, self.size, STUDENT_FILTER) for batch in self.held]

    @torch.inference_mode()
    def run_student(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Ask the student."""
        return [self.load.looker(views) for views in self.squares]

    def boxes(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Choose the crops."""
        pairs = zip(self.held, self.seen, strict=True)
        return [distinct(*self.looks.boxes(batch, seen, self.size, self.load.tau)) for batch, seen in pairs]

    def crops(self) -> list[torch.Tensor]:
        """Cut and resize them."""
        backend, teacher = self.load.backend, self.load.teacher
        pairs = zip(self.held, self.asked, strict=True)
        return [backend.crop(batch, *asked, teacher.image_size, teacher.interpolation) for batch, asked in pairs]

    def score(self) -> torch.Tensor:
        """Let the teacher score them."""
        return torch.softmax(self.load.teacher.similarities(self.pixels), dim=1)

    def update(self) -> None:
        """Update the labels."""
        update_labels(self.labels, self.rows, self.scores, self.load.recipe.labels.floor, self.load.recipe.relabel.ema)

    def calls(self) -> dict[str, bare.Call]:
        """Give each stage of :data:`STAGES`."""
        own = (self.decode, self.views, self.run_student, self.boxes, self.crops, self.score, self.update)
        return dict(zip(STAGES, own, strict=True))

    def bare_calls(self) -> dict[str, bare.Call]:
        """Give the bare library call of each stage, where there is one."""
        load, knobs = self.load, self.load.recipe.relabel
        files = [load.images.files(rows) for rows in self.batches]
        maps = [cam[torch.sigmoid(logits) >= load.tau] for logits, cam in self.seen]
        teacher = load.teacher
        calls = {
            "decode": bare.decode(load.backend, files),
            "views": bare.views(load.backend, self.held, self.size),
            "student": bare.student(load.looker, self.squares),
            "boxes": bare.boxes(maps, self.size, knobs.cam_threshold),
            "crops": bare.crops(load.backend, self.held, self.asked, teacher.image_size, teacher.interpolation),
            "teacher": bare.teacher(load.clip.tower, teacher.engine, self.pixels),
            "update": bare.update(self.rows, self.scores, len(load.images)),
        }
        return {stage: call for stage, call in calls.items() if call is not None}


def total(timings: list[Timing]) -> Timing:
    """Add timings round by round."""
    return Timing(tuple(sum(seconds) for seconds in zip(*(t.seconds for t in timings), strict=True)))


def measure_relabel(load: Load, repeats: int = measure.REPEATS) -> dict[str, Any]:
    """Measure the pass, with and without a cache that knows its boxes, its engine, and its stages.

    Args:
        load: what is measured; decoded photographs and crops of all its images are held in memory.
        repeats: rounds that count.

    Returns:
        What was measured, JSON-ready.

    Raises:
        RuntimeError: the pass with the cache gave another table.
    """
    alone, cache = Alone(load), CropCache(2**62)
    table, counted = load.update(cache)
    again, hits = load.update(cache)
    if not torch.equal(table, again):
        raise RuntimeError("the pass with the cache gave another table than the pass without it")
    calls: dict[str, bare.Call] = {
        RELABEL_PASS: load.update,
        UNMOVED: lambda: load.update(cache),
        ENGINE: lambda: load.teacher.engine.embed(alone.pixels),
        **{f"stage {name}": call for name, call in alone.calls().items()},
        **{f"bare {name}": call for name, call in alone.bare_calls().items()},
    }
    timings = measure.in_turn(calls, repeats)
    whole, crops = timings[RELABEL_PASS], len(alone.pixels)
    stages: list[dict[str, Any]] = []
    for name in STAGES:
        own, library = timings[f"stage {name}"], timings.get(f"bare {name}")
        record = {"stage": name, "share_of_sum": 0.0, **own.record()}
        stages.append(record | ({"bare": library.record(), "over_bare": ratio(own, library)} if library else {}))
    summed = total([timings[f"stage {name}"] for name in STAGES])
    for record in stages:
        record["share_of_sum"] = record["median_s"] / sum(r["median_s"] for r in stages)
    return {
        "teacher": load.teacher_name,
        "engine": {"runtime": load.teacher.engine.runtime, "batch_size": load.teacher.batch_size},
        "teacher_image_size": load.teacher.image_size,
        "student": load.recipe.student.backbone,
        "student_runtime": "torch" if load.looker is load.student else "onnxruntime",
        "image_size": load.recipe.student.image_size,
        "views": load.backend.name,
        "images": len(load.images),
        "classes": len(load.images.class_names),
        "crops": counted.crops,
        "distinct_crops": crops,
        "pass": {
            **whole.record(),
            "images_per_s": len(load.images) / whole.median,
            "crops_per_s": counted.crops / whole.median,
        },
        "engine_alone": {**timings[ENGINE].record(), "crops_per_s": crops / timings[ENGINE].median},
        "efficiency": 1 / ratio(whole, timings[ENGINE]),
        "boxes_unmoved": {
            **timings[UNMOVED].record(),
            "images_per_s": len(load.images) / timings[UNMOVED].median,
            "cache_hits": hits.hit_rate,
            "times_as_fast": ratio(whole, timings[UNMOVED]),
        },
        "stages": stages,
        "sum_of_stages_s": summed.median,
        "pass_over_sum": ratio(whole, summed),
    }
