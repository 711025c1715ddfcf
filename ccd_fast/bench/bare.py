"""The bare library calls that the stages of a relabel pass stand for, on the same arrays."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.bench.decode import bare_decode, is_dali
from ccd_fast.engines import EmbedPixels, ImageEngine, ImageTower, Precision
from ccd_fast.engines.batching import padded_batches
from ccd_fast.engines.streams import FixedCall
from ccd_fast.student import STUDENT_FILTER, PixelClassifier, Student
from ccd_fast.student.captured import CapturedStudent
from ccd_fast.student.engine import BATCH_SIZE, StudentEngine, StudentWithinMemory
from ccd_fast.views import Interpolation, Photographs, ViewBackend

Call = Callable[[], object]


def decode(backend: ViewBackend, files: list[list[Path]]) -> Call:
    """Read files and decode them, batch by batch."""
    call = bare_decode(backend)
    return lambda: call([[np.fromfile(file, dtype=np.uint8) for file in batch] for batch in files])


def views(backend: ViewBackend, held: Sequence[Photographs], size: int) -> Call:
    """Resize whole photographs to the square."""
    if not is_dali(backend):
        from ccd_fast.views.pillow import FILTERS

        side = (size, size)
        return lambda: [p.resize(side, FILTERS[STUDENT_FILTER]) for batch in held for p in batch.pixels]
    if backend.device.type == "cpu":
        return _resize_by_torch([p for batch in held for p in batch.pixels], size, STUDENT_FILTER)
    import nvidia.dali.experimental.dynamic as dali

    how = _dali_resize(STUDENT_FILTER, size)

    def call() -> None:
        with backend.on_torch_stream():
            for batch in held:
                dali.resize(dali.as_batch(batch.pixels.tensors), **how).evaluate()

    return call


def student(net: PixelClassifier, pixels: Sequence[torch.Tensor]) -> Call:
    """Run the student: its session, or in eager PyTorch backbone and 1x1 convolution on normalised pixels."""
    if isinstance(net, StudentEngine):
        feeds = [{"pixels": batch.numpy()} for views in pixels for batch in padded_batches(views, BATCH_SIZE)]
        return lambda: [net.session.run(None, feed) for feed in feeds]
    eager = net.student if isinstance(net, StudentWithinMemory | CapturedStudent) else net
    if not isinstance(eager, Student):
        raise TypeError(f"no bare call is known for {type(eager).__name__}")
    normalised = [((p.permute(0, 3, 1, 2).float() - eager.mean) / eager.std) for p in pixels]

    @torch.inference_mode()
    def call() -> None:
        for batch in normalised:
            eager.head(eager.backbone.forward_features(batch))

    return call


def boxes(maps: Sequence[torch.Tensor], size: int, threshold: float) -> Call:
    """Upsample the active classes' maps, (M, h, w) a batch, normalise them and compare them, in PyTorch."""

    @torch.inference_mode()
    def call() -> None:
        for batch in maps:
            large = torch.nn.functional.interpolate(batch[:, None], (size, size), mode="bilinear")[:, 0]
            low, high = large.amin(dim=(1, 2), keepdim=True), large.amax(dim=(1, 2), keepdim=True)
            hot = (large - low) / (high - low + 1e-5) > threshold
            hot.any(dim=1), hot.any(dim=2)

    return call


def crops(
    backend: ViewBackend,
    held: Sequence[Photographs],
    asked: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    size: int,
    interpolation: Interpolation,
) -> Call:
    """Cut boxes out of decoded photographs and resize them."""
    if not is_dali(backend):
        from ccd_fast.views.pillow import FILTERS

        pairs = [
            (batch.pixels[k], box)
            for batch, (owner, boxes_) in zip(held, asked, strict=True)
            for k, box in zip(owner.tolist(), boxes_.tolist(), strict=True)
        ]
        return lambda: [p.crop(box).resize((size, size), FILTERS[interpolation]) for p, box in pairs]
    if backend.device.type == "cpu":
        cuts = [
            batch.pixels[k][y0:y1, x0:x1]
            for batch, (owner, boxes_) in zip(held, asked, strict=True)
            for k, (x0, y0, x1, y1) in zip(owner.tolist(), boxes_.tolist(), strict=True)
        ]
        return _resize_by_torch(cuts, size, interpolation)
    import nvidia.dali.experimental.dynamic as dali

    how = _dali_resize(interpolation, size)
    prepared = []
    with backend.on_torch_stream():
        for batch, (owner, boxes_) in zip(held, asked, strict=True):
            if len(owner):
                tensors, corners = batch.pixels.tensors, boxes_.astype(np.int32)
                sides = (corners[:, 1::-1], corners[:, :1:-1])
                start, end = (dali.as_batch(list(np.ascontiguousarray(side))) for side in sides)
                prepared.append((dali.as_batch([tensors[k] for k in owner.tolist()]), start, end))

    def call() -> None:
        with backend.on_torch_stream():
            for pictures, start, end in prepared:
                dali.resize(dali.slice(pictures, start=start, end=end, axes=[0, 1]), **how).evaluate()

    return call


def teacher(tower: ImageTower, engine: ImageEngine, precision: Precision, pixels: torch.Tensor) -> Call | None:
    """Run the runtime itself on batches of its size; None for a runtime that is not measured so.

    On a GPU, where it reads and writes fixed buffers, that is without moving anything in or out of them.
    """
    batches = list(padded_batches(pixels, engine.batch_size))
    fixed = next((value for value in vars(engine).values() if isinstance(value, FixedCall)), None)
    if fixed is not None:
        return lambda: fixed.launch_times(len(batches))
    if engine.runtime == "onnxruntime":
        session: Any = vars(engine)["session"]
        feeds = [{"pixels": batch.numpy()} for batch in batches]
        return lambda: [session.run(None, feed) for feed in feeds]
    if engine.runtime != "torch":
        return None
    module = EmbedPixels(tower, precision).eval()
    if pixels.device.type == "cuda":
        module = deepcopy(module).to(pixels.device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> None:
        for batch in batches:
            module(batch)

    return call


def update(rows: torch.Tensor, scores: torch.Tensor, images: int) -> Call:
    """Take the maximum over the crops of each image, by PyTorch's own reduction."""
    owner = rows[:, None].expand(-1, scores.shape[1])
    owner, best = owner.to(scores.device), torch.zeros((images, scores.shape[1]), device=scores.device)
    return lambda: best.scatter_reduce_(0, owner, scores, "amax", include_self=False)


def _resize_by_torch(pictures: Sequence[NDArray[np.uint8]], size: int, interpolation: Interpolation) -> Call:
    """Resize (h, w, 3) uint8 each by torch's interpolation on as many threads as torch has."""
    pool = ThreadPoolExecutor(torch.get_num_threads())

    def resize(picture: NDArray[np.uint8]) -> torch.Tensor:
        planes = torch.from_numpy(np.ascontiguousarray(picture))[None].permute(0, 3, 1, 2)
        return torch.nn.functional.interpolate(planes, (size, size), mode=interpolation, antialias=True)

    return lambda: list(pool.map(resize, pictures))


def _dali_resize(interpolation: Interpolation, size: int) -> dict[str, Any]:
    from ccd_fast.views.dali import FILTERS

    return {"size": [size, size], "interp_type": FILTERS[interpolation], "antialias": True}
