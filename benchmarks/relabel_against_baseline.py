"""A relabel pass of ccd_fast beside ``baselines/plain_relabel.py``: same images, same weights, same threads, in turn.

``python benchmarks/relabel_against_baseline.py --help`` lists the options; without any it takes scenes of the demo
world and the demo's CLIP. Timed as a run does it. The label tables are compared so, and with Pillow's views and the
student in eager PyTorch on both sides: other decoders differ by a few levels, other runtimes of the student by
rounding, and a box whose edge lies between two pixels then falls on the other one.

On a GPU the pass's engine runs in half precision and open_clip's tower in the precision that it is loaded in, float32:
the baseline is timed once more with its tower under autocast to float16. ``--maps SIDE`` times passes from maps of
views of that side, too: the first, in which the teacher looks, a later one, and one from the boxes of the training
steps.
"""

import argparse
import functools
import importlib.util
import json
import sys
import tempfile
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from torch import nn

from ccd_fast import machine
from ccd_fast.bench import maps, measure
from ccd_fast.bench.load import Load, open_load
from ccd_fast.bench.measure import ratio
from ccd_fast.datasets.folder import read_class_names
from ccd_fast.datasets.voc import CLASS_NAMES
from ccd_fast.demo import drawing, tiny_clip
from ccd_fast.runs.progress import Stages
from ccd_fast.views import open_backend

BASELINE = Path(__file__).parent / "baselines" / "plain_relabel.py"
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


@functools.cache
def tower_on(tower: nn.Module, device: str) -> nn.Module:
    """Give a tower on a device: a copy, as engines are still built from the one on the host."""
    return tower if device == "cpu" else deepcopy(tower).to(device)


def plain_update(plain: ModuleType, load: Load, half: bool = False) -> torch.Tensor:
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
        tower=tower_on(tower.module, load.device),
        size=tower.image_size,
        mean=tower.mean,
        std=tower.std,
        filter=Image.Resampling[tower.interpolation.upper()],
        classes=load.teacher.classes,
        scale=load.teacher.scale,
        half=half,
    )
    plain.relabel(load.images.files_of_all(), load.student, teacher, labels.table, labels.bias, knobs)
    return labels.table


def differences(ours: torch.Tensor, theirs: torch.Tensor) -> dict[str, float]:
    """Give the largest and the mean difference of the labels, and the share of them beyond the limit."""
    apart = (ours - theirs).abs()
    beyond = float((apart > LARGEST_DIFFERENCE).float().mean())
    return {"max": float(apart.max()), "mean": float(apart.mean()), "beyond": beyond}


def compare(load: Load, rounds: int, passes: maps.MapPasses | None = None) -> dict[str, Any]:
    """Time both in turn, and passes from maps too; compare the tables, as timed and on the same inputs."""
    plain, cuda = baseline(), load.device != "cpu"
    of_maps = {} if passes is None else maps.calls(passes)
    calls = {"ccd_fast": load.update, "baseline": lambda: plain_update(plain, load), **of_maps}
    if cuda:
        calls["baseline_in_half"] = lambda: plain_update(plain, load, half=True)
    timings = measure.in_turn(calls, rounds, device=load.device)
    pillow = open_backend("pillow", torch.get_num_threads(), load.device)
    same_inputs = replace(load, backend=pillow, looker=load.student)
    theirs = plain_update(plain, same_inputs)
    of_half = {"times_as_fast_as_in_half": ratio(timings["baseline_in_half"], timings["ccd_fast"])} if cuda else {}
    return {
        "device": load.device,
        "teacher": load.teacher_name,
        "engine": {"runtime": load.teacher.engine.runtime, "precision": load.settings.precision},
        "images": len(load.images),
        "views": load.backend.name,
        **{name: {**t.record(), "images_per_s": len(load.images) / t.median} for name, t in timings.items()},
        "times_as_fast": ratio(timings["baseline"], timings["ccd_fast"]),
        **({} if passes is None else {"maps_size": passes.teacher.image_size}),
        **{f"{name}, times as fast": ratio(timings["baseline"], timings[name]) for name in of_maps},
        **of_half,
        "tables_with_pillow": differences(same_inputs.update()[0], theirs),
        "tables_as_timed": differences(load.update()[0], theirs),
    }


def options() -> argparse.ArgumentParser:
    """Give the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--data-root", type=Path, help="folder of photographs; by default scenes of the demo world")
    parser.add_argument("--classes", type=Path, help="class names, one a line; by default those of PASCAL VOC")
    parser.add_argument("--images", type=int, default=32, help="photographs, the first by name")
    parser.add_argument("--teacher", help="as for ccd-fast bench relabel; by default the demo's CLIP")
    parser.add_argument("--batch-size", type=int, default=16, help="crops in a call of the pass's engine")
    parser.add_argument("--student", default="tf_efficientnet_lite0", help="a CNN of timm")
    parser.add_argument("--student-weights", default="none", help="none, imagenet, or a file")
    parser.add_argument("--image-size", type=int, default=320, help="side of the student's view in pixels")
    parser.add_argument("--maps", type=int, default=0, help="side of the views of maps, in pixels; 0 times no maps")
    parser.add_argument("--views", default="auto", help="auto, dali or pillow")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser


def main() -> None:
    """Measure, print and write."""
    given = options().parse_args()
    machine.keep_freed_memory()  # as a run does; it serves both sides
    root = given.data_root or drawing.draw(0, Stages(Console(stderr=True)), given.images, 0).root
    names = read_class_names(given.classes) if given.classes else CLASS_NAMES
    teacher = given.teacher or str(tiny_clip.install())
    how = (given.batch_size, given.student, given.student_weights, given.image_size, given.views)
    load = open_load(root, given.images, names, teacher, *how, device=given.device)
    with tempfile.TemporaryDirectory() as folder:
        passes = maps.open_passes(load, given.maps, Path(folder)) if given.maps else None
        if isinstance(passes, str):
            sys.exit(passes)
        found = compare(load, given.rounds, passes)
    print(json.dumps(found, indent=1))
    if given.out:
        measure.save({"benchmark": "relabel against the baseline", **found}, given.out)


if __name__ == "__main__":
    main()
