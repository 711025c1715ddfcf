"""What makes a training step faster on a CPU: memory layout, optimiser, compilation, precision, work ahead.

``python benchmarks/training.py PHOTOS OUT.json [THREADS]``: random weights, 18 classes, one step a call, in turn, with
one view an image; every ratio is the median over the rounds of how many times as fast a way is as what is in use. bf16
is timed on fewer pictures, beside fp32 on the same. ``pays_from`` is the number of steps that repay a compilation with
empty caches. ``ahead`` are epochs over photographs of PHOTOS, with the consistency loss, with and without decoding
ahead, on all cores; for the smallest student, where decoding is the largest share.
"""

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp()  # before torch: a compilation is timed with empty caches

import numpy as np
import torch

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.bench.measure import Timing, ratio
from ccd_fast.datasets import ImageSet
from ccd_fast.datasets.listing import find_images
from ccd_fast.machine import ALONE
from ccd_fast.recipes import config
from ccd_fast.runs.progress import Stage
from ccd_fast.student import network as student
from ccd_fast.student.losses import CcdLoss
from ccd_fast.student.network import Student
from ccd_fast.student.training_views import TrainingViews
from ccd_fast.training.epoch import batches
from ccd_fast.training.steps import Trainer
from ccd_fast.views import open_backend, prefetched

CASES = (("test_efficientnet", 96, 32), ("tf_efficientnet_lite0", 224, 16), ("resnet18", 224, 16))
CLASSES, ROUNDS = 18, 3
OPTIMISER_ROUNDS = 30
BF16_PICTURES, BF16_ROUNDS = 4, 1
AHEAD_PICTURES, AHEAD_ROUNDS = 64, 7
IN_USE = "in use (channels_last, fused Adam, eager, fp32)"


def trainer(net: Student, *knobs: str, **adam: bool) -> Trainer:
    """Make a trainer with a student of its own; ``adam`` chooses another form of the optimiser."""
    made = Trainer(deepcopy(net), config.load("folder", knobs).train, 224)
    if adam:
        groups = [{"params": group["params"], "lr": group["lr"]} for group in made.optimizer.param_groups]
        made.optimizer = torch.optim.Adam(groups, **adam)
    return made


def steps(trainers: dict[str, Trainer], pixels: torch.Tensor, rounds: int) -> dict[str, Timing]:
    """Time one step of each, in turn, with one view an image."""
    rows, loss = torch.arange(len(pixels)), CcdLoss(torch.rand(len(pixels), CLASSES))
    calls: dict[str, Callable[[], object]] = {
        name: partial(made.step, pixels, None, rows, loss) for name, made in trainers.items()
    }
    return measure.in_turn(calls, rounds)


def compare(backbone: str, size: int, batch: int) -> dict[str, Any]:
    """Time the ways of one student, size and batch."""
    net = student.build(backbone, CLASSES, 3.0, "none").train()
    pixels = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    ways = {
        IN_USE: trainer(net),
        "contiguous": trainer(net.to(memory_format=torch.contiguous_format)),
        "Adam, a loop": trainer(net, foreach=False),
        "Adam, foreach": trainer(net, foreach=True),
        "compiled": trainer(net, "train.compile=true"),
    }
    for name in ways.keys() - {"contiguous"}:
        ways[name].student.to(memory_format=torch.channels_last)
    start = time.perf_counter()
    ways["compiled"].step(pixels, None, torch.arange(batch), CcdLoss(torch.rand(batch, CLASSES)))
    ready_s = time.perf_counter() - start
    timings = steps(ways, pixels, ROUNDS)
    net.to(memory_format=torch.channels_last)
    halves = {"fp32": trainer(net), "bf16": trainer(net, "train.precision=bf16")}
    few = steps(halves, pixels[:BF16_PICTURES], BF16_ROUNDS)
    saved = timings[IN_USE].median - timings["compiled"].median
    return {
        "backbone": backbone,
        "image_size": size,
        "batch": batch,
        "images_per_s": round(batch / timings[IN_USE].median, 2),
        "times_as_fast": {
            **{name: round(ratio(timings[IN_USE], t), 3) for name, t in timings.items()},
            "bf16": round(ratio(few["fp32"], few["bf16"]), 3),
        },
        "compile_s": round(ready_s, 1),
        "pays_from": math.ceil(ready_s / saved) if saved > 0 else None,
        "timings": {name: t.record() for name, t in (timings | few).items()},
    }


def optimisers(backbone: str) -> dict[str, Any]:
    """Time the optimiser's part of a step alone, on gradients that are there."""
    net = student.build(backbone, CLASSES, 3.0, "none").train()
    forms = {"fused": trainer(net), "a loop": trainer(net, foreach=False), "foreach": trainer(net, foreach=True)}
    for made in forms.values():
        for parameter in made.student.parameters():
            parameter.grad = torch.randn_like(parameter)
    timings = measure.in_turn({name: made.optimizer.step for name, made in forms.items()}, OPTIMISER_ROUNDS, 3)
    return {
        "backbone": backbone,
        "fused_is_times_as_fast_as": {
            name: round(ratio(timings[name], timings["fused"]), 2) for name in ("a loop", "foreach")
        },
        "timings": {name: t.record() for name, t in timings.items()},
    }


def ahead(root: Path, backbone: str, size: int, batch: int) -> dict[str, Any]:
    """Time epochs over photographs with the next batch decoded during the step, and without."""
    paths = tuple(find_images(root)[:AHEAD_PICTURES])
    names = tuple(f"class {c}" for c in range(CLASSES))
    images = ImageSet("folder", "train", root, paths, names, names, None, np.zeros(len(paths), dtype=bool))
    recipe = config.load("folder", [f"student.image_size={size}", f"train.batch_size={batch}"])
    backend = open_backend("auto", torch.get_num_threads())
    views = TrainingViews(backend, size, recipe.consistency, recipe.seed, 2, len(images))
    made = Trainer(student.build(backbone, CLASSES, 3.0, "none").train(), recipe.train, size)
    loss = CcdLoss(torch.rand(len(images), CLASSES), mu=recipe.consistency.mu)
    shares: list[float] = []

    def epoch(depth: int) -> None:
        stage = Stage("train", len(images), lambda _: None)
        made_views = batches(images, views.order, views, True, batch, stage, ALONE)
        with closing(prefetched(made_views, depth) if depth else made_views) as source:
            for part in source:
                made.step(part.first, part.second, torch.from_numpy(part.rows), loss)
        stage.stop()
        if not depth:
            shares.append(sum(stage.parts.values()) / stage.seconds)

    timings = measure.in_turn({"in turn": partial(epoch, 0), "ahead": partial(epoch, 1)}, AHEAD_ROUNDS)
    return {
        "backbone": backbone,
        "image_size": size,
        "batch": batch,
        "times_as_fast": round(ratio(timings["in turn"], timings["ahead"]), 3),
        "share_of_decode_and_views": round(float(np.median(shares)), 3),
        "timings": {name: t.record() for name, t in timings.items()},
    }


if __name__ == "__main__":
    machine.keep_freed_memory()
    found: dict[str, Any] = {
        "benchmark": "training steps",
        "classes": CLASSES,
        "steps": [],
        "ahead": [],
        "optimisers": [],
    }
    found["ahead"].append({"threads": torch.get_num_threads(), **ahead(Path(sys.argv[1]), *CASES[0])})
    measure.save(found, Path(sys.argv[2]))
    if len(sys.argv) > 3:
        torch.set_num_threads(int(sys.argv[3]))
    found["optimisers"] = [optimisers(backbone) for backbone, _, _ in CASES]
    for case in CASES:
        found["steps"].append(compare(*case))
        measure.save(found, Path(sys.argv[2]))
    cases = [case for part in ("ahead", "optimisers", "steps") for case in found[part]]
    print(json.dumps([{k: v for k, v in case.items() if k != "timings"} for case in cases], indent=1))
