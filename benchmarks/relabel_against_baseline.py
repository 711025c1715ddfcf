"""A relabel pass of ccd_fast beside ``baselines/plain_relabel.py``: same images, same weights, same threads, in turn.

``python benchmarks/relabel_against_baseline.py PHOTOGRAPHS CLASSES.txt TEACHER STUDENT_WEIGHTS [OUT.json]``; the first
IMAGES photographs of the folder (set IMAGES and ROUNDS in the environment; 32 and 3). Timed with the default backend of
the views; the label tables are compared with Pillow on both sides, since DALI's resize differs from Pillow's by a
few levels.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.bench.relabel import Load, open_load, ratio
from ccd_fast.datasets.folder import read_class_names

BASELINE = Path(__file__).parent / "baselines" / "plain_relabel.py"
BACKBONE, IMAGE_SIZE, BATCH_SIZE = "tf_efficientnet_lite0", 320, 16
LARGEST_DIFFERENCE = 1e-3
"""Of a label, between the two implementations on the same resize."""


def baseline() -> ModuleType:
    """Load the baseline by its path: it is no part of a package."""
    name = BASELINE.stem
    spec = importlib.util.spec_from_file_location(name, BASELINE)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(BASELINE)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain_update(plain: ModuleType, load: Load) -> torch.Tensor:
    """Run the baseline on a load's images and weights; give the label table."""
    relabel, tower, labels = load.recipe.relabel, load.clip.tower, load.labels()
    knobs = plain.Knobs(
        tau=load.tau,
        view_size=load.recipe.student.image_size,
        cam_threshold=relabel.cam_threshold,
        margin=relabel.margin,
        floor=load.recipe.labels.floor,
        ema=relabel.ema,
    )
    teacher = plain.PlainTeacher(
        tower=tower.module,
        size=tower.image_size,
        mean=tower.mean,
        std=tower.std,
        filter=Image.Resampling[tower.interpolation.upper()],
        classes=load.teacher.classes,
        scale=load.teacher.scale,
    )
    plain.relabel(load.images.files_of_all(), load.student, teacher, labels.table, labels.bias, knobs)
    return labels.table


def differences(ours: torch.Tensor, theirs: torch.Tensor) -> dict[str, float]:
    """Give the largest and the mean difference of the labels, and the share of them beyond the limit."""
    apart = (ours - theirs).abs()
    beyond = float((apart > LARGEST_DIFFERENCE).float().mean())
    return {"max": float(apart.max()), "mean": float(apart.mean()), "beyond": beyond}


def compare(load: Load, same_resize: Load, rounds: int) -> dict[str, Any]:
    """Time both in turn on ``load``, and compare the tables on ``same_resize``, whose views are Pillow's."""
    plain = baseline()
    calls = {"ccd_fast": load.update, "baseline": lambda: plain_update(plain, load)}
    timings = measure.in_turn(calls, rounds)
    theirs = plain_update(plain, same_resize)
    return {
        "images": len(load.images),
        "views": load.backend.name,
        **{name: {**t.record(), "images_per_s": len(load.images) / t.median} for name, t in timings.items()},
        "times_as_fast": ratio(timings["baseline"], timings["ccd_fast"]),
        "tables_with_pillow": differences(same_resize.update()[0], theirs),
    }


if __name__ == "__main__":
    machine.keep_freed_memory()  # as a run does; it serves both sides
    root, names, teacher, weights = sys.argv[1:5]
    count, rounds = int(os.environ.get("IMAGES", "32")), int(os.environ.get("ROUNDS", "3"))
    common = (Path(root), count, read_class_names(Path(names)), teacher, BATCH_SIZE, BACKBONE, weights, IMAGE_SIZE)
    found = compare(open_load(*common), open_load(*common, "pillow"), rounds)
    print(json.dumps(found, indent=1))
    if len(sys.argv) > 5:
        measure.save({"benchmark": "relabel against the baseline", **found}, Path(sys.argv[5]))
