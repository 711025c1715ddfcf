"""What passes from maps cost beside passes with crops and an epoch of training, in seconds of the processor.

``python benchmarks/maps_speed.py ROOT CLASSES TEACHER STUDENT_WEIGHTS OUT.json [IMAGES [ROUNDS [MAPS_SIZE]]]``, with
OMP_NUM_THREADS=1. What is counted is the time that the process had a core for, all threads added up: other work on the
machine stretches the clock on the wall, and this one hardly. ``ccd-fast bench relabel`` and ``bench train`` measure the
same by the clock on the wall. Rounds are in turn, and each ratio is the median of the rounds'.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ccd_fast import machine
from ccd_fast.bench import maps, measure
from ccd_fast.bench.load import open_load
from ccd_fast.bench.measure import Timing, ratio
from ccd_fast.bench.relabel import RELABEL_PASS
from ccd_fast.bench.train import CONSISTENT, Epochs
from ccd_fast.datasets.folder import read_class_names
from ccd_fast.machine import on_stream_for


def in_turn(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time several things in turn by the process's own clock, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(1 + rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return {name: Timing(tuple(each[1:])) for name, each in seconds.items()}


def measured(arguments: list[str], folder: Path) -> dict[str, Any]:
    """Measure, and give the figures, JSON-ready."""
    root, classes, teacher, weights = arguments[:4]
    images, rounds, size = (int(word) for word in [*arguments[5:], *("64", "3", "0")[len(arguments) - 5 :]])
    names = read_class_names(Path(classes))
    load = open_load(Path(root), images, names, teacher, 16, "tf_efficientnet_lite0", weights, 224)
    passes, epochs = maps.open_passes(load, size or None, folder), Epochs(load, load.recipe)
    if isinstance(passes, str):
        sys.exit(passes)
    calls = {RELABEL_PASS: load.update, **maps.calls(passes), CONSISTENT: lambda: epochs.run(CONSISTENT)}
    with on_stream_for("bench", torch.device("cpu")):
        timings = in_turn(calls, rounds)
        found = maps.record(passes, timings[RELABEL_PASS], timings)
    epoch = timings[CONSISTENT]
    return {
        "clock": "processor seconds of the process",
        "threads": torch.get_num_threads(),
        "teacher": load.teacher_name,
        "student": load.recipe.student.backbone,
        "student_runtime": type(load.looker).__name__,
        "images": images,
        "crops": load.update()[1].crops,
        "pass": timings[RELABEL_PASS].record(),
        "maps": found,
        "epoch_with_consistency": epoch.record(),
        "over_epoch": {name: ratio(timing, epoch) for name, timing in timings.items() if name != CONSISTENT},
    }


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    machine.keep_freed_memory()
    with tempfile.TemporaryDirectory() as made:
        figures = measured(sys.argv[1:], Path(made))
    measure.save({"benchmark": "maps speed", **figures}, Path(sys.argv[5]))
