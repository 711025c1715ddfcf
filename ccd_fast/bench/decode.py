"""What the views do a second: reading, decoding, whole views, crops, training views, beside the bare library."""

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ccd_fast.bench import measure
from ccd_fast.machine import on_stream_for
from ccd_fast.views import (
    EncodedCache,
    Photographs,
    ViewBackend,
    flipped,
    installed_backends,
    jitter_factors,
    open_backend,
    read_bytes,
    to_image_boxes,
)

if TYPE_CHECKING:
    from ccd_fast.views.dali import DaliViews
    from ccd_fast.views.host import HostViews

CROP_BATCHES = 2
"""Batches whose decoded pixels are held in memory to cut crops from."""
CROPS_PER_IMAGE = 4
"""About what a relabel pass cuts."""
JITTER = 0.5
"""Strength of the colour jitter, that of the paper."""
BARE = "the bare library's decode of bytes in memory"
DECODE_KEPT = "decode of bytes in memory"


@dataclass(frozen=True)
class Load:
    """What is measured.

    Attributes:
        files: the photographs, all of them readable.
        batch_size: photographs decoded at a time.
        image_size: side of the views in pixels.
        threads: of the backend.
        device: where views are made.
    """

    files: tuple[Path, ...]
    batch_size: int
    image_size: int
    threads: int
    device: str = "cpu"

    def batches(self) -> list[tuple[Sequence[Path], NDArray[np.int64]]]:
        """Give files and rows, batch by batch."""
        starts = range(0, len(self.files), self.batch_size)
        batches = [self.files[first : first + self.batch_size] for first in starts]
        return [(batch, np.arange(first, first + len(batch))) for first, batch in zip(starts, batches, strict=True)]


def measure_decode(load: Load, backends: Sequence[str] | None = None, repeats: int = measure.REPEATS) -> dict[str, Any]:
    """Measure backends in turn; on a GPU on a stream of its own, as DALI is not to work on the default one.

    Args:
        load: what is measured.
        backends: their names; all that are installed, if None.
        repeats: rounds that count.

    Returns:
        What was measured, JSON-ready: by backend and by task the rate a second, the timing, and for decoding the
        ratio to the bare library's rate.
    """
    calls: dict[tuple[str, str], Callable[[], object]] = {("", "read bytes"): functools.partial(_read, load.files)}
    amounts = {("", "read bytes"): len(load.files)}
    with on_stream_for("bench", torch.device(load.device)):
        for name in backends or installed_backends():
            for task, (call, amount) in _tasks(name, load).items():
                calls[name, task], amounts[name, task] = call, amount
        named = {"\t".join(key): call for key, call in calls.items()}
        timings = measure.in_turn(named, repeats, device=load.device)
    results: list[dict[str, Any]] = []
    for key, amount in amounts.items():
        timing = timings["\t".join(key)]
        record = {"backend": key[0], "task": key[1], "per_s": amount / timing.median, "amount": amount}
        bare = timings.get("\t".join((key[0], BARE)))
        if bare is not None and key[1] in ("decode", DECODE_KEPT):
            record["ratio_to_bare"] = bare.median / timing.median
        results.append({**record, **timing.record()})
    load_record = {key: value for key, value in vars(load).items() if key != "files"}
    size = sum(file.stat().st_size for file in load.files)
    return {"images": len(load.files), "bytes": size, **load_record, "results": results}


def readable(files: Sequence[Path], backend: ViewBackend, batch_size: int) -> tuple[Path, ...]:
    """Give the files that a backend can decode, of some that it decodes batch by batch."""
    kept: list[int] = []
    with on_stream_for("bench", backend.device):
        for first in range(0, len(files), batch_size):
            batch = files[first : first + batch_size]
            kept += backend.decode(batch, np.arange(first, first + len(batch))).rows.tolist()
    return tuple(files[row] for row in kept)


def _tasks(name: str, load: Load) -> dict[str, tuple[Callable[[], object], int]]:
    """Give what is timed of a backend, by task, with how many images or crops each call makes."""
    backend = open_backend(name, load.threads, load.device)
    cache = EncodedCache(budget=2**62)
    in_memory = open_backend(name, load.threads, load.device, read=cache.read)
    batches, images = load.batches(), len(load.files)
    held = [backend.decode(*batch) for batch in batches[:CROP_BATCHES]]
    crops = [boxes_of(photographs, load.image_size) for photographs in held]

    def cut() -> None:
        for photographs, (owner, boxes) in zip(held, crops, strict=True):
            backend.crop(photographs, owner, boxes, load.image_size, "bicubic")

    def whole() -> None:
        for batch in batches:
            backend.whole(backend.decode(*batch), load.image_size, "bicubic")

    contents = [[cache.read(file) for file in batch] for batch, _ in batches]
    return {
        BARE: (functools.partial(bare_decode(backend), contents), images),
        DECODE_KEPT: (functools.partial(_decode, in_memory, batches), images),
        "decode": (functools.partial(_decode, backend, batches), images),
        "decode + whole view": (whole, images),
        "decode + two training views": (functools.partial(_training_views, backend, batches, load.image_size), images),
        "crops of decoded images": (cut, sum(len(owner) for owner, _ in crops)),
    }


def _read(files: Sequence[Path]) -> None:
    for file in files:
        read_bytes(file)


def _decode(backend: ViewBackend, batches: list[tuple[Sequence[Path], NDArray[np.int64]]]) -> None:
    for batch in batches:
        backend.decode(*batch)


def _training_views(
    backend: ViewBackend, batches: list[tuple[Sequence[Path], NDArray[np.int64]]], image_size: int
) -> None:
    rng = np.random.default_rng(0)
    for batch in batches:
        photographs = backend.decode(*batch)
        first = flipped(backend.whole(photographs, image_size, "bilinear"), rng.random(len(photographs)) < 0.5)
        factors = jitter_factors(rng.random((len(photographs), 4)), JITTER, JITTER)
        backend.jitter(flipped(first, rng.random(len(photographs)) < 0.5), factors)


def boxes_of(photographs: Photographs, image_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw boxes of a quarter to three quarters of the sides, and give their owners and their pixels.

    Args:
        photographs: of a batch.
        image_size: side of the view that the boxes are drawn in, in pixels.

    Returns:
        (M,) position of each box's photograph in the batch, and (M, 4) x0, y0, x1, y1 in its pixels, half-open.
    """
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(len(photographs)), CROPS_PER_IMAGE)
    extent = rng.uniform(0.25, 0.75, (len(owner), 2)) * image_size
    low = rng.random((len(owner), 2)) * (image_size - extent)
    boxes = np.concatenate([low, low + extent], axis=1).astype(np.int64)
    return owner, to_image_boxes(boxes, photographs.sizes[owner], image_size)


def is_dali(backend: ViewBackend) -> TypeGuard["DaliViews | HostViews"]:
    """Tell whether a backend is DALI's."""
    return backend.name.startswith("dali")  # on a GPU it says more


def bare_decode(backend: ViewBackend) -> Callable[[list[list[Any]]], None]:
    """Give the library's own decode, as a user without ccd_fast would write it; on a GPU on torch's stream."""
    if not is_dali(backend):

        def decode_by_pillow(contents: list[list[Any]]) -> None:
            for batch in contents:
                for content in batch:
                    Image.open(io.BytesIO(content)).convert("RGB")

        return decode_by_pillow
    import nvidia.dali.experimental.dynamic as dali
    from nvidia.dali import types

    on = "gpu" if backend.device.type == "cuda" else "cpu"

    def decode_by_dali(contents: list[list[Any]]) -> None:
        with backend.on_torch_stream():
            for batch in contents:
                dali.decoders.image(dali.as_batch(batch), device=on, output_type=types.RGB).evaluate()

    return decode_by_dali
