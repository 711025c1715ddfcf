"""How crops are cut and resized on the CPU: three ways, their speed and how far their pixels differ.

``python benchmarks/views.py PHOTOGRAPHS [OUT.json]``: a folder of photographs, of which the first 128 are used; 4 crops
each, of a quarter to three quarters of the sides, to 224 pixels; bicubic, antialiased. Medians of 5 rounds in turn,
of the clock and of the processor time of all threads.
"""

import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as dali
import torch
from nvidia.dali import types

from ccd_fast.bench import measure
from ccd_fast.bench.decode import Load, boxes_of
from ccd_fast.datasets.listing import find_images
from ccd_fast.views import open_backend
from ccd_fast.views.resize import HostResize

IMAGES, BATCH, SIZE = 128, 32, 224
CUBIC = {"interp_type": types.DALIInterpType.INTERP_CUBIC, "antialias": True, "size": [SIZE, SIZE]}


def corners(boxes: np.ndarray, dtype: type) -> tuple[Any, Any]:
    """Give DALI's batches of (y0, x0) and of (y1, x1)."""
    start, end = boxes[:, 1::-1].astype(dtype), boxes[:, :1:-1].astype(dtype)
    return tuple(dali.as_batch(list(np.ascontiguousarray(side))) for side in (start, end))


def sliced(pictures: list[Any], boxes: np.ndarray) -> torch.Tensor:
    """Cut by DALI, then resize the cut by DALI: what lies outside the box has no influence."""
    start, end = corners(boxes, np.int32)
    crops = dali.slice(dali.as_batch(pictures), start=start, end=end, axes=[0, 1])
    return torch.from_dlpack(dali.as_tensor(dali.resize(crops, **CUBIC).evaluate()))


def fused(pictures: list[Any], boxes: np.ndarray) -> torch.Tensor:
    """Resize a region by DALI in one operation: at its edges the filter sees the pixels outside."""
    start, end = corners(boxes, np.float32)
    crops = dali.resize(dali.as_batch(pictures), roi_start=start, roi_end=end, **CUBIC)
    return torch.from_dlpack(dali.as_tensor(crops.evaluate()))


def by_torch(resize: HostResize, pictures: list[Any], boxes: np.ndarray) -> torch.Tensor:
    """Cut by an index, and resize the cut by torch: what the views do on a CPU."""
    arrays = [np.asarray(picture) for picture in pictures]
    cuts = [array[y0:y1, x0:x1] for array, (x0, y0, x1, y1) in zip(arrays, boxes.tolist(), strict=True)]
    return resize(cuts, SIZE, "bicubic")


def difference(a: torch.Tensor, b: torch.Tensor) -> dict[str, float]:
    """Give the mean and the largest difference, in levels of 255."""
    apart = (a.int() - b.int()).abs()
    return {"mean": round(float(apart.float().mean()), 4), "max": int(apart.max())}


def cpu_seconds(way: Any, work: list[Any]) -> float:
    """Give the processor time of all threads: on a machine that others use, it says more than the clock."""
    start = time.process_time()
    for part in work:
        way(*part)
    return time.process_time() - start


def compare(root: Path) -> dict[str, Any]:
    """Time the ways in turn, and compare their pixels."""
    files = tuple(root / path for path in find_images(root)[:IMAGES])
    load = Load(files, BATCH, SIZE, torch.get_num_threads())
    backend, pillow = (open_backend(name, load.threads) for name in ("dali", "pillow"))
    work, reference = [], []
    for batch in load.batches():
        photographs = backend.decode(*batch)
        owner, boxes = boxes_of(photographs, SIZE)
        tensors = photographs.pixels.tensors
        work.append(([tensors[k] for k in owner.tolist()], boxes))
        reference.append(pillow.crop(pillow.decode(*batch), owner, boxes, SIZE, "bicubic"))
    ways = {
        "slice, then resize (DALI)": sliced,
        "resize of a region (DALI)": fused,
        "cut, then resize (torch)": partial(by_torch, HostResize(load.threads)),
    }
    calls = {name: lambda way=way: [way(*part) for part in work] for name, way in ways.items()}
    timings = measure.in_turn(calls)
    rounds = [{name: cpu_seconds(way, work) for name, way in ways.items()} for _ in range(measure.REPEATS)]
    crops = sum(len(boxes) for _, boxes in work)
    first = next(iter(timings.values())).median
    pixels = {name: torch.cat([way(*part) for part in work]) for name, way in ways.items()}
    results = {
        name: {
            "crops_per_s": round(crops / timing.median, 1),
            "times_the_first": round(first / timing.median, 3),
            "cpu_ms_per_crop": round(1e3 * statistics.median(r[name] for r in rounds) / crops, 3),
            "from_pillow": difference(pixels[name], torch.cat(reference)),
            "from_the_first": difference(pixels[name], next(iter(pixels.values()))),
            **timing.record(),
        }
        for name, timing in timings.items()
    }
    return {"benchmark": "views", "images": len(files), "crops": crops, "image_size": SIZE, "ways": results}


if __name__ == "__main__":
    found = compare(Path(sys.argv[1]))
    print(json.dumps(found, indent=1))
    if len(sys.argv) > 2:
        measure.save(found, Path(sys.argv[2]))
