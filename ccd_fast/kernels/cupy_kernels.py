"""The CUDA kernels, compiled by CuPy and launched on torch's current stream, on torch's own memory.

Nothing here waits for the GPU and nothing is copied: a launch is queued behind what torch queued before.
"""

import functools
from pathlib import Path
from typing import Any

import torch

from ccd_fast.errors import UserError
from ccd_fast.kernels import launches

try:
    import cupy
except ImportError:
    cupy = None

SOURCES = ("primitives.cu", "score.cu", "update.cu", "cam_boxes.cu", "crop_resize.cu")
"""Compiled as one text, in this order."""
OPTIONS = ("--std=c++17", "--fmad=false")
"""No fused multiply-add: products and sums round as they do in NumPy, so that labels and boxes are the same bits."""


def available() -> bool:
    """Whether CuPy is installed."""
    return cupy is not None


def source() -> str:
    """Give the text of all kernels."""
    return "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in SOURCES)


def score(
    similarities: torch.Tensor, max_entropy: float, bias_sums: torch.Tensor, bias_counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """See :func:`ccd_fast.kernels.score`."""
    scores = torch.empty_like(similarities, dtype=torch.float32)
    confident = torch.empty(len(similarities), dtype=torch.bool, device=similarities.device)
    processors = _processors(similarities.device)
    _run(
        launches.score(similarities, max_entropy, scores, confident, bias_sums, bias_counts, processors),
        similarities.device,
    )
    return scores, confident


def update(
    table: torch.Tensor,
    rows: torch.Tensor,
    offsets: torch.Tensor,
    crop_scores: torch.Tensor,
    bias: torch.Tensor,
    floor: float,
    ema: float,
) -> None:
    """See :func:`ccd_fast.kernels.update`."""
    processors = _processors(table.device)
    _run(launches.update(table, rows, offsets, crop_scores, bias, floor, ema, processors), table.device)


def cam_boxes(maps: torch.Tensor, view_size: int, threshold: float, margin: float) -> torch.Tensor:
    """See :func:`ccd_fast.kernels.cam_boxes`."""
    boxes = torch.empty((len(maps), 4), dtype=torch.int64, device=maps.device)
    _run(launches.cam_boxes(maps, view_size, threshold, round(margin * view_size), boxes), maps.device)
    return boxes


def crop_resize(
    pictures: torch.Tensor, owner: torch.Tensor, boxes: torch.Tensor, size: int, interpolation: str, longest: int
) -> torch.Tensor:
    """See :func:`ccd_fast.kernels.crop_resize`."""
    crops = torch.empty((len(owner), size, size, 3), dtype=torch.uint8, device=pictures.device)
    _run(launches.crop_resize(pictures, owner, boxes, size, interpolation, longest, crops), pictures.device)
    return crops


class _TorchStream:
    """Torch's current stream of a device, as the CUDA stream protocol wants it."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.current_stream(device)

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._stream.cuda_stream


def _run(launch: launches.Launch, device: torch.device) -> None:
    if not launch.blocks:
        return
    arguments = tuple(a.data_ptr() if isinstance(a, torch.Tensor) else a for a in launch.arguments)
    with torch.cuda.device(device), cupy.cuda.Device(device.index):
        kernel = _kernel(launch.kernel, device.index)
        if launch.shared_bytes > launches.SHARED_BYTES:
            _allow_shared_bytes(kernel, launch.shared_bytes)
        with cupy.cuda.Stream.from_external(_TorchStream(device)):
            kernel((launch.blocks,), (launches.THREADS,), arguments, shared_mem=launch.shared_bytes)


@functools.cache
def _module() -> Any:
    return cupy.RawModule(code=source(), options=OPTIONS)


@functools.cache
def _kernel(name: str, _device: int) -> Any:
    """Get a kernel of the module that is loaded on the current device."""
    return _module().get_function(name)


def _allow_shared_bytes(kernel: Any, shared_bytes: int) -> None:
    limit = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    if shared_bytes > limit:
        raise UserError(
            f"kernels: a block needs {shared_bytes} bytes of shared memory and this GPU has {limit}: "
            "take fewer classes, smaller class activation maps or photographs that are less long, or --device cpu"
        )
    kernel.max_dynamic_shared_size_bytes = shared_bytes


def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count
