"""What a crop on a GPU costs the host's Python: through DALI, with lists or arrays of corners, and by the kernel.

``python benchmarks/crops_host.py PHOTOGRAPHS [OUT.json]``: a folder of photographs, of which the first 256 are used
(the same again where there are fewer); 4 boxes each. No GPU is needed: only what comes before a launch is timed, with
DALI's tensors of the host in place of those of a GPU. So DALI's own work for each crop (two operators) is left out on
its side, and on the kernel's CuPy's launch, one a batch. Medians of 5 rounds in turn.
"""

import json
import sys
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as dali
import torch

from ccd_fast.bench import measure
from ccd_fast.bench.decode import boxes_of
from ccd_fast.datasets.listing import find_images
from ccd_fast.kernels import launches
from ccd_fast.labels.crop_cache import distinct
from ccd_fast.views import open_backend
from ccd_fast.views.on_device import DevicePictures, uploaded

IMAGES, SIZE = 256, 224
HOST = torch.device("cpu")
COLUMNS = {"start": [1, 0], "end": [3, 2]}
"""Of a box: y0, x0 and y1, x1."""


def by_dali(tensors: list[Any], owner: np.ndarray, boxes: np.ndarray, as_batch: Callable[[np.ndarray], Any]) -> None:
    """Make the batches that DALI slices by: sources, a reference a crop, and corners."""
    dali.as_batch([tensors[k] for k in owner.tolist()])
    for columns in COLUMNS.values():
        as_batch(np.ascontiguousarray(boxes.astype(np.int32)[:, columns]))


def by_kernel(pictures: DevicePictures, owner: np.ndarray, boxes: np.ndarray, crops: torch.Tensor) -> None:
    """Bring boxes over in one copy, and plan the launch."""
    where = uploaded([owner, boxes], HOST)
    launches.crop_resize(pictures.places, *where, SIZE, "bicubic", int(pictures.sizes.max()), crops)


def compare(root: Path) -> dict[str, Any]:
    """Time the ways in turn."""
    files = list(islice(cycle(root / path for path in find_images(root)[:IMAGES]), IMAGES))
    photographs = open_backend("dali", torch.get_num_threads()).decode(files, np.arange(IMAGES))
    owner, boxes = boxes_of(photographs, SIZE)
    tensors = [dali.as_tensor(picture, layout="HWC") for picture in photographs.pixels]
    on_gpu = [
        SimpleNamespace(shape=p.shape, __cuda_array_interface__={"data": (p.ctypes.data, False)})
        for p in photographs.pixels
    ]
    pictures, crops = DevicePictures.of(on_gpu, HOST), torch.empty((len(owner), SIZE, SIZE, 3), dtype=torch.uint8)
    factors = np.random.default_rng(0).random((4, IMAGES)).astype(np.float32)
    per_crop, per_image = len(owner), len(photographs)
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "crop: DALI, lists of corners": (
            lambda: by_dali(tensors, owner, boxes, lambda c: dali.as_batch(list(c))),
            per_crop,
        ),
        "crop: DALI, arrays of corners": (lambda: by_dali(tensors, owner, boxes, dali.as_batch), per_crop),
        "crop: kernel": (lambda: by_kernel(pictures, owner, boxes, crops), per_crop),
        "crop: equal boxes once": (lambda: distinct(owner, boxes), per_crop),
        "photograph: its address, for the kernel": (lambda: DevicePictures.of(on_gpu, HOST), per_image),
        "view: factors of its jitter as lists": (
            lambda: [dali.as_batch(list(column)) for column in factors],
            per_image,
        ),
        "view: factors of its jitter as arrays": (lambda: [dali.as_batch(column) for column in factors], per_image),
    }
    timings = measure.in_turn({name: call for name, (call, _) in calls.items()})
    results = {
        name: {"microseconds_each": round(1e6 * timings[name].median / count, 3), **timings[name].record()}
        for name, (_, count) in calls.items()
    }
    return {"benchmark": "crops_host", "images": len(photographs), "crops": len(owner), "results": results}


if __name__ == "__main__":
    found = compare(Path(sys.argv[1]))
    print(json.dumps(found, indent=1))
    if len(sys.argv) > 2:
        measure.save(found, Path(sys.argv[2]))
