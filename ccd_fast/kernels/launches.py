"""How each CUDA kernel is launched: name, grid, shared memory, arguments.

Told apart from the one who launches, so that the tests can run the same launches without a GPU.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

Argument = torch.Tensor | np.int32 | np.int64 | np.float32

THREADS = 128
"""Threads of a block: four warps, so that many blocks share a multiprocessor and one that waits costs little."""
BLOCKS_A_PROCESSOR = 16
"""Blocks in a launch, at most: those that a multiprocessor holds of a kernel with 32 registers a thread, 2,048 threads.
Ours have up to 56 (NVRTC for sm_90): nine blocks or more run at once, and the rest follow. Blocks go through the rows
in strides, so that their number changes no result."""
WARP = 32
WARPS = THREADS // WARP
ROWS_A_WARP = 4
WARP_CLASSES = 512
"""Up to so many classes a row of similarities is scored by a warp, beyond by a block: 40 KiB of shared memory."""
CLASSES_A_WARP = 128
FOUR = 4
SHARED_BYTES = 48 * 1024
"""Shared memory that a kernel gets without being asked for by name."""
REACH = {"bilinear": 1, "bicubic": 2}
"""How far each filter of a resize reaches on either side, in pixels of the source or, if larger, of the output."""
TILES = ((32, 32), (32, 16), (32, 8), (16, 8), (8, 8), (4, 4), (2, 2), (1, 1))
"""Columns and rows of a crop that a block makes at a time: the first that fit :data:`SHARED_BYTES`, or the last."""


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Attributes:
        kernel: its name in the source.
        blocks: number of blocks.
        shared_bytes: dynamic shared memory of each block.
        arguments: in the kernel's order; a tensor stands for its address.
    """

    kernel: str
    blocks: int
    shared_bytes: int
    arguments: tuple[Argument, ...]


def score(
    similarities: torch.Tensor,
    max_entropy: float,
    scores: torch.Tensor,
    confident: torch.Tensor,
    bias_sums: torch.Tensor,
    bias_counts: torch.Tensor,
    processors: int,
) -> Launch:
    """Plan :func:`ccd_fast.kernels.score` for a GPU of so many multiprocessors."""
    rows, classes = similarities.shape
    if classes <= WARP_CLASSES:
        layout, wanted = "warps", _ceil_div(rows, WARPS * ROWS_A_WARP)
        shared_floats = WARPS * _up_to_four(ROWS_A_WARP * classes + FOUR - 1) + 2 * 2 * classes  # rows; two int64
    else:
        layout, wanted = "blocks", rows
        shared_floats = 2 * WARP + _up_to_four(classes + FOUR - 1)
    return Launch(
        f"score_by_{layout}_{_type_name(similarities)}",
        min(wanted, processors * BLOCKS_A_PROCESSOR),
        4 * shared_floats,
        (
            *(similarities, np.int64(rows), np.int32(classes), np.float32(max_entropy)),
            *(scores, confident, bias_sums, bias_counts),
        ),
    )


def update(
    table: torch.Tensor,
    rows: torch.Tensor,
    offsets: torch.Tensor,
    crop_scores: torch.Tensor,
    bias: torch.Tensor,
    floor: float,
    ema: float,
    processors: int,
) -> Launch:
    """Plan :func:`ccd_fast.kernels.update` for a GPU of so many multiprocessors."""
    classes = table.shape[1]
    wide = classes % FOUR == 0 and all(_starts_on_four(t) for t in (table, crop_scores, bias))
    tasks = len(rows) * _ceil_div(classes, CLASSES_A_WARP)
    return Launch(
        f"update_{'wide_' if wide else ''}{_type_name(crop_scores)}",
        min(_ceil_div(tasks, WARPS), processors * BLOCKS_A_PROCESSOR),
        0,
        (
            *(table, rows, offsets, np.int64(len(rows)), crop_scores, bias, np.int32(classes)),
            *(np.float32(floor), np.float32(ema), np.float32(1 - ema)),
        ),
    )


def cam_boxes(maps: torch.Tensor, view_size: int, threshold: float, grow: int, boxes: torch.Tensor) -> Launch:
    """Plan :func:`ccd_fast.kernels.cam_boxes`; ``grow`` is the margin in pixels."""
    count, height, width = maps.shape
    corners = 2 * (height + width)
    before = _up_to_four(2 * WARP + 4 + 3 * corners)  # a range a warp, the box, three numbers a corner
    shared_floats = before + _up_to_four(height * width + FOUR - 1)
    sizes = (np.int32(height), np.int32(width), np.int32(view_size))
    return Launch(
        f"cam_boxes_{_type_name(maps)}",
        count,
        4 * shared_floats,
        (maps, *sizes, np.float32(threshold), np.int32(grow), boxes),
    )


def crop_resize(
    pictures: torch.Tensor,
    owner: torch.Tensor,
    boxes: torch.Tensor,
    size: int,
    interpolation: str,
    longest: int,
    crops: torch.Tensor,
) -> Launch:
    """Plan :func:`ccd_fast.kernels.crop_resize`; how much a block needs grows with the longest side of a box."""
    scale = max(longest / size, 1.0)
    taps = 2 * math.ceil(REACH[interpolation] * scale) + 1
    for columns, rows in TILES:
        lines = math.ceil((rows - 1) * scale) + taps + 1
        shared = 8 * (columns + rows) + 4 * taps * (columns + rows) + 3 * columns * lines  # windows, weights, pixels
        if shared <= SHARED_BYTES:
            break
    numbers = (np.int32(size), np.int32(columns), np.int32(rows), np.int32(taps))
    return Launch(
        f"crop_resize_{interpolation}",
        len(owner) * _ceil_div(size, columns),
        shared,
        (pictures, owner, boxes, *numbers, crops),
    )


def _type_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _starts_on_four(tensor: torch.Tensor) -> bool:
    return tensor.data_ptr() % (FOUR * tensor.element_size()) == 0


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def _up_to_four(count: int) -> int:
    return _ceil_div(count, FOUR) * FOUR
