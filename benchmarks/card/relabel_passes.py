"""Whole relabel passes beside the teacher's engine alone, and beside engine and student back to back.

A pass of a thousand photographs and one of four thousand give a steady rate, without the time that it takes to start
and to end. What a card reaches moves with its clocks, so the engine is measured right before and right after each pass.
"""

import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from card import sensors, switches, timing
from card.drawn_views import DrawnViews
from card.ledger import LeftOut
from card.setting import Setting
from card.teacher_engines import crops
from card.ways import SAYS, Way, ways
from ccd_fast.bench.load import Load
from ccd_fast.datasets import ImageSet
from ccd_fast.engines import EngineSettings, ImageEngine
from ccd_fast.recipes import config
from ccd_fast.runs import Stage
from ccd_fast.student import Reading, network, predict
from ccd_fast.student.cam import activity_threshold
from ccd_fast.student.engine import open_student
from ccd_fast.teacher import Teacher, Vocabulary
from ccd_fast.views import ViewBackend, open_backend

CLASSES = 80
"""Those of MS COCO."""
FOR_TAU = 256
"""Photographs that the activity threshold is set on."""
WITH_PILLOW = 8
"""Times fewer photographs with Pillow, which takes seconds for a hundred."""


class Watched:
    """A backend that notes how many photographs it is given at a time."""

    def __init__(self, backend: Any) -> None:
        """Watch a backend."""
        self._backend = backend
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        """Give what the backend has."""
        return getattr(self._backend, name)

    def decode(self, files: Sequence[Path], rows: Any) -> Any:
        """Decode; see :class:`ccd_fast.views.ViewBackend`."""
        self.most = max(self.most, len(files))
        return self._backend.decode(files, rows)


def measure(setting: Setting) -> None:
    """Measure every way, and the engine and the students alone."""
    alone = Alone(setting, setting.best_engine())
    alone.measure_engine()
    failed = [way for way in ways(setting) if not tried(setting, way, alone)]
    if failed:
        raise RuntimeError(f"{len(failed)} ways failed, the first {failed[0]}; see the log")


def tried(setting: Setting, way: Way, alone: "Alone") -> bool:
    """Measure a way; tell whether it did not fail, so that the others have their turn in any case."""
    try:
        one(setting, way, alone)
    except LeftOut as why:
        setting.ledger.left_out(f"pass: {way}", why)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        setting.ledger.left_out(f"pass: {way}", f"{type(error).__name__}: {error}")
        return False
    return True


class Alone:
    """What a pass is held against: the engine on random crops, again and again, and the students."""

    def __init__(self, setting: Setting, engine: ImageEngine) -> None:
        """Take an engine."""
        self.setting, self.engine = setting, engine
        self.pixels = crops(engine.batch_size, engine.image_size, setting.device)
        self.rates: list[float] = []
        self.students: dict[tuple[str, int, int], float] = {}

    def measure_engine(self) -> None:
        """Measure the engine's crops a second, and a matrix product beside it."""
        setting, batch = self.setting, self.engine.batch_size
        each = timing.steady(lambda: self.engine.embed(self.pixels), setting.device, setting.sizes.work)
        self.rates.append(batch * len(each) / sum(each))
        product = setting.product_rate()
        what = f"the engine alone, {self.engine.runtime}, batch {batch}"
        setting.ledger.figure(what, self.rates[-1], "crops/s", product_flops=product)

    def student(self, load: Load, way: Way) -> float:
        """Give a student's images a second, measured once for each number of photographs at a time."""
        key = (way.student, way.size, way.load_batch)
        if key not in self.students:
            self.students[key] = student_alone(self.setting, load, way)
        return self.students[key]


def one(setting: Setting, way: Way, alone: Alone) -> None:
    """Measure a way: a small pass that warms up, the small one, and the large one twice."""
    if way.maps and not switches.has_maps():
        raise LeftOut("this ccd_fast cuts crops, and has no maps in their place")
    files, pictures = setting.photographs
    small, large = setting.sizes.photographs
    if way.views == "pillow" and not setting.tiny:
        small, large = small // WITH_PILLOW, large // WITH_PILLOW
    with ExitStack() as stack:
        if way.priority is not None:
            stack.enter_context(switches.priorities(way.priority, setting.device))
        stack.enter_context(switches.load_batch(way.load_batch))
        load, backend = opened(setting, way, alone.engine, files)
        few, many = load.first(small), load.first(large)
        few.update()
        if backend.most != min(way.load_batch, small):
            raise LeftOut(f"{backend.most} photographs were decoded at a time, not {way.load_batch}")
        stages: list[Stage] = []
        short = timing.seconds(lambda: stages.append(few.update()[1]), setting.device)
        with sensors.watching() as busy:
            found = [timing.seconds(lambda: stages.append(many.update()[1]), setting.device) for _ in range(2)]
        student = alone.student(load, way)
    before = alone.rates[-1]
    alone.measure_engine()
    engine = (before + alone.rates[-1]) / 2
    seconds = sum(found) / len(found)
    steady_s, steady_crops = seconds - short, stages[-1].crops - stages[0].crops
    asked, steady_rate = stages[-1].crops - stages[-1].repeats, (large - small) / steady_s if steady_s > 0 else None
    setting.passes[way] = large / seconds
    note = f"{SAYS[way.views]}{'' if way.views == 'drawn' else f'; {pictures}'}"
    setting.ledger.figure(
        f"pass: {way}",
        large / seconds,
        "images/s",
        f"{asked / engine / seconds:.1%} of the engine alone, {(asked / engine + large / student) / seconds:.1%} of "
        f"engine and student back to back; {note}",
        images=large,
        crops=stages[-1].crops,
        distinct_crops=asked,
        crops_per_s=asked / seconds,
        seconds=found,
        seconds_of_the_smaller=short,
        steady_images_per_s=steady_rate,
        steady_of_the_engine=steady_crops / engine / steady_s if steady_s > 0 else None,
        engine_crops_per_s=engine,
        student_images_per_s=student,
        busy_percent=busy,
        host_waits_in_s={part: round(value, 4) for part, value in stages[-1].parts.items()},
    )


def opened(setting: Setting, way: Way, engine: ImageEngine, files: Sequence[Path]) -> tuple[Load, Watched]:
    """Open a pass on an engine that is open; nothing is decoded to see whether it can be."""
    place = torch.device(setting.device)
    inner: ViewBackend = (
        DrawnViews(setting.device)
        if way.views == "drawn"
        else open_backend(way.views, torch.get_num_threads(), setting.device)
    )
    backend = Watched(inner)
    names = tuple(f"class {number}" for number in range(CLASSES))
    paths, known = tuple(file.name for file in files), np.zeros(len(files), dtype=bool)
    images = ImageSet("folder", "train", files[0].parent, paths, names, names, None, known)
    overrides = [f"student.image_size={way.size}", f"student.backbone='''{way.student}'''"]
    recipe = config.load("folder", [*overrides, *([f"views.choice={switches.MAPS}"] if way.maps else [])])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        width = engine.embed(crops(1, engine.image_size, setting.device)).shape[1]
        classes = normalize(torch.randn(CLASSES, width), dim=1).to(place)
    net = network.build(way.student, CLASSES, recipe.student.alpha, "none").eval().to(place)
    looker = open_student(net, "torch", way.size, None)  # type: ignore[arg-type]
    some = images.files_of_all()[:FOR_TAU]
    seen = predict(looker, some, Reading(backend), way.size, Stage("tau", len(some), lambda _: None))  # type: ignore[arg-type]
    tau = activity_threshold(seen.probabilities, recipe.relabel.k, recipe.relabel.min_tau)
    how = EngineSettings(engine.runtime, setting.precision, engine.batch_size, setting.device)  # type: ignore[arg-type]
    judge = Teacher(setting.clip, engine, Vocabulary(classes))
    return Load(images, backend, setting.clip, judge, net, looker, recipe, tau, how), backend  # type: ignore[arg-type]


def student_alone(setting: Setting, load: Load, way: Way) -> float:
    """Measure the student alone, images a second: as the pass runs it, and, on a card, replayed from a CUDA graph."""
    views = crops(min(way.load_batch, 256), way.size, setting.device)

    def look() -> None:
        with torch.inference_mode():
            load.looker(views)

    ways_to_run: dict[str, Callable[[], object]] = {"as in the pass": look}
    if setting.on_card:
        try:
            ways_to_run["replayed"] = replayed(look, setting.device)
        except Exception as error:  # noqa: BLE001 - what cannot be captured is measured as it is
            setting.ledger.left_out(f"the student {way.student} replayed", error)
    rates = []
    for name, call in ways_to_run.items():
        each = timing.steady(call, setting.device, setting.sizes.work)
        rates.append(len(views) * len(each) / sum(each))
        setting.ledger.figure(f"the student alone, {way.student} at {way.size}, {name}", rates[-1], "images/s")
    return max(rates)


def replayed(call: Callable[[], object], device: str) -> Callable[[], object]:
    """Capture a call as a CUDA graph, and give its replay."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream(device).wait_stream(side)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay
