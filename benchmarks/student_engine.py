"""What the student's engine is worth on a CPU: eager PyTorch against ONNX Runtime, with export and refit counted.

``python benchmarks/student_engine.py [OUT.json]``: random weights, 18 classes, 64 pictures a round, rounds in turn.
``pays_from`` is the number of forward passes from which an export and one refit are repaid; ``refit_pays_from`` the
same for a refit alone, where the graph is in the store. A refit includes its comparison with eager PyTorch.
"""

import json
import math
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.engines import Store
from ccd_fast.student import engine as student_engine
from ccd_fast.student import network as student

CASES = (("tf_efficientnet_lite0", 224), ("tf_efficientnet_lite0", 320), ("test_efficientnet", 96))
BATCHES, PICTURES, CLASSES = (32, 16, 8), 64, 18


def compare(backbone: str, size: int, repeats: int) -> dict[str, Any]:
    """Time both ways for one backbone and size."""
    net = student.build(backbone, CLASSES, 3.0, "none").eval()
    pixels = student_engine.noise(PICTURES, size)
    with tempfile.TemporaryDirectory() as cache:
        store = Store(Path(cache))
        start = time.perf_counter()
        student_engine.graph(net, size, store)
        export_s = time.perf_counter() - start
        engine = student_engine.StudentEngine(net, size, store)
        calls: dict[str, Any] = {"refit": partial(student_engine.StudentEngine, net, size, store)}
        for batch in BATCHES:
            calls[f"torch {batch}"] = lambda b=batch: [student_engine.eager(net, part) for part in pixels.split(b)]
            calls[f"onnxruntime {batch}"] = lambda b=batch: [
                engine.session.run(None, {"pixels": part.numpy()}) for part in pixels.split(b)
            ]
        timings = measure.in_turn(calls, repeats)
    refit_s = timings["refit"].median
    errors = student_engine.refuse_beyond_limit(
        dict(zip(student_engine.OUTPUTS, engine(pixels), strict=True)), student_engine.eager(net, pixels), backbone
    )
    rates = {name: PICTURES / timing.median for name, timing in timings.items() if name != "refit"}
    fastest = max(rate for name, rate in rates.items() if name.startswith("torch"))
    ours = rates[f"onnxruntime {student_engine.BATCH_SIZE}"]
    saved = 1 / fastest - 1 / ours  # seconds a picture, against the best of eager
    pays = {"pays_from": export_s + refit_s, "refit_pays_from": refit_s}
    return {
        "backbone": backbone,
        "image_size": size,
        "export_s": round(export_s, 2),
        "refit_s": round(refit_s, 3),
        "images_per_s": {name: round(rate, 1) for name, rate in rates.items()},
        "times_eager": round(ours / fastest, 2),
        **{name: math.ceil(cost / saved) if saved > 0 else None for name, cost in pays.items()},
        "relative_error": errors,
        "timings": {name: timing.record() for name, timing in timings.items()},
    }


if __name__ == "__main__":
    machine.keep_freed_memory()
    torch.set_num_threads(2)
    cases = [compare(*case, repeats=measure.REPEATS) for case in CASES]
    found = {"benchmark": "student engine", "pictures": PICTURES, "batch": student_engine.BATCH_SIZE, "cases": cases}
    print(json.dumps([{k: v for k, v in case.items() if k != "timings"} for case in cases], indent=1))
    if len(sys.argv) > 1:
        measure.save(found, Path(sys.argv[1]))
