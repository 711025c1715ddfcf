"""``ccd-fast bench relabel``: a whole relabel pass, beside its engine, its stages alone, and the bare libraries.

Everything is timed in one run, in turn, and a ratio is the median of the ratios of each round: a machine that slows
down slows both sides of it.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.bench import bare, maps, measure
from ccd_fast.bench.engine import operations
from ccd_fast.bench.load import Load, open_load
from ccd_fast.bench.measure import Timing, ratio
from ccd_fast.engines import DTYPES, ceilings
from ccd_fast.errors import UserError
from ccd_fast.labels import CropCache, update_labels
from ccd_fast.labels.crop_cache import distinct
from ccd_fast.machine import on_stream_for
from ccd_fast.student import LOAD_BATCH, STUDENT_FILTER
from ccd_fast.student.engine import StudentEngine
from ccd_fast.views import Photographs

__all__ = ["STAGES", "Alone", "Load", "measure_relabel", "open_load"]

STAGES = ("decode", "views", "student", "boxes", "crops", "teacher", "update")
RELABEL_PASS, PART, UNMOVED = "pass", "pass over the first images", "pass, boxes unmoved"
ENGINE, BOTH = "engine", "student, then engine"
SHORT = 4
"""The short pass has this share of the images, one in so many."""


def looking(load: Load) -> int:
    """Count the floating-point operations of the student's look at one view, without its numbers."""
    return ceilings.operations(load.student, load.recipe.student.image_size)


class Alone:
    """The arrays that pass from stage to stage in a pass, held in memory, and each stage on them alone."""

    def __init__(self, load: Load) -> None:
        """Run the stages once, and hold what each of them takes."""
        self.load = load
        self.size = load.recipe.student.image_size
        self.looks = load.looks()
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
        return [distinct(*self.looks.boxes(batch, seen)) for batch, seen in pairs]

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
        update_labels(self.labels, self.rows, self.scores, self.load.weighing())

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
        calls: dict[str, bare.Call | None] = {
            "decode": bare.decode(load.backend, files),
            "views": bare.views(load.backend, self.held, self.size),
            "student": bare.student(load.looker, self.squares),
            "boxes": bare.boxes(maps, self.size, knobs.cam_threshold),
            "crops": bare.crops(load.backend, self.held, self.asked, teacher.image_size, teacher.interpolation),
            "teacher": bare.teacher(load.clip.tower, teacher.engine, load.settings.precision, self.pixels),
            "update": bare.update(self.rows, self.scores, len(load.images)),
        }
        return {stage: call for stage, call in calls.items() if call is not None}


def steady(whole: Timing, part: Timing, images: int, crops: int) -> dict[str, float] | None:
    """Give the rates between a short pass and the whole one, without what begins and ends a pass.

    Args:
        whole: of all images.
        part: of the first ones.
        images: that the whole pass has more.
        crops: likewise, distinct ones.

    Returns:
        Images and crops a second; None where the pass is too short for its beginning and end to be told apart.
    """
    seconds = statistics.median(a - b for a, b in zip(whole.seconds, part.seconds, strict=True))
    return {"images_per_s": images / seconds, "crops_per_s": crops / seconds} if images and seconds > 0 else None


def total(timings: list[Timing]) -> Timing:
    """Add timings round by round."""
    return Timing(tuple(sum(seconds) for seconds in zip(*(t.seconds for t in timings), strict=True)))


def measure_relabel(load: Load, repeats: int = measure.REPEATS, maps_size: int | None = None) -> dict[str, Any]:
    """Measure the pass, with and without a cache that knows its boxes, from maps, its engine, and its stages.

    Args:
        load: what is measured; decoded photographs and crops of all its images are held in memory.
        repeats: rounds that count.
        maps_size: side of the view that maps are of, in pixels; by default the teacher's own.

    Returns:
        What was measured, JSON-ready.

    Raises:
        RuntimeError: on a CPU, the pass with the cache gave another table.
    """
    # DALI is not to work on the default stream
    with on_stream_for("bench", torch.device(load.device)), tempfile.TemporaryDirectory() as folder:
        return _measured(load, repeats, maps.open_passes(load, maps_size, Path(folder)))


def _measured(load: Load, repeats: int, from_maps: maps.MapPasses | str) -> dict[str, Any]:
    alone, cache, few = Alone(load), CropCache(2**62), load.first(max(len(load.images) // SHORT, 1))
    table, counted = load.update(cache)
    again, hits = load.update(cache)
    _, of_few = few.update()
    apart = float((table - again).abs().max())
    if apart and load.device == "cpu":
        raise RuntimeError("the pass with the cache gave another table than the pass without it")
    calls: dict[str, bare.Call] = {
        RELABEL_PASS: load.update,
        PART: few.update,
        UNMOVED: lambda: load.update(cache),
        ENGINE: lambda: load.teacher.engine.embed(alone.pixels),
        BOTH: lambda: (alone.run_student(), load.teacher.engine.embed(alone.pixels)),
        **{f"stage {name}": call for name, call in alone.calls().items()},
        **{f"bare {name}": call for name, call in alone.bare_calls().items()},
    }
    if not isinstance(from_maps, str):
        calls |= maps.calls(from_maps)
    ceiling = measure.matmul_rate(load.device, DTYPES[load.settings.precision], repeats)
    timings = measure.in_turn(calls, repeats, device=load.device)
    whole, crops = timings[RELABEL_PASS], len(alone.pixels)
    stages: list[dict[str, Any]] = []
    for name in STAGES:
        own, library = timings[f"stage {name}"], timings.get(f"bare {name}")
        record = {"stage": name, "share_of_sum": 0.0, **own.record()}
        stages.append(record | ({"bare": library.record(), "over_bare": ratio(own, library)} if library else {}))
    summed = total([timings[f"stage {name}"] for name in STAGES])
    for record in stages:
        record["share_of_sum"] = record["median_s"] / sum(r["median_s"] for r in stages)
    work = {"teacher": crops * operations(load.clip.tower), "student": len(load.images) * looking(load)}
    flops = {"pass": sum(work.values()) / whole.median, "engine": work["teacher"] / timings[ENGINE].median}
    return {
        "device": load.device,
        "teacher": load.teacher_name,
        "engine": {
            "runtime": load.teacher.engine.runtime,
            "precision": load.settings.precision,
            "batch_size": load.teacher.batch_size,
        },
        "teacher_image_size": load.teacher.image_size,
        "student": load.recipe.student.backbone,
        "student_runtime": "onnxruntime" if isinstance(load.looker, StudentEngine) else "torch",
        "image_size": load.recipe.student.image_size,
        "views": load.backend.name,
        "images": len(load.images),
        "classes": len(load.images.class_names),
        "crops": counted.crops,
        "distinct_crops": crops,
        "flop_per_crop": work["teacher"] // crops,
        "flop_per_look": work["student"] // len(load.images),
        "matmul_flops": ceiling,
        "flops": flops,
        "of_matmul": {what: rate / ceiling for what, rate in flops.items()},
        "pass": {
            **whole.record(),
            "images_per_s": len(load.images) / whole.median,
            "crops_per_s": counted.crops / whole.median,
        },
        "engine_alone": {**timings[ENGINE].record(), "crops_per_s": crops / timings[ENGINE].median},
        "efficiency": 1 / ratio(whole, timings[ENGINE]),
        "engine_and_student_alone": timings[BOTH].record(),
        "efficiency_of_both": 1 / ratio(whole, timings[BOTH]),
        "steady": steady(
            whole, timings[PART], len(load.images) - len(few.images), crops - (of_few.crops - of_few.repeats)
        ),
        "boxes_unmoved": {
            **timings[UNMOVED].record(),
            "images_per_s": len(load.images) / timings[UNMOVED].median,
            "cache_hits": hits.hit_rate,
            "table_apart": apart,
            "times_as_fast": ratio(whole, timings[UNMOVED]),
        },
        "maps": {"why_not": from_maps} if isinstance(from_maps, str) else maps.record(from_maps, whole, timings),
        "stages": stages,
        "sum_of_stages_s": summed.median,
        "pass_over_sum": ratio(whole, summed),
    }
