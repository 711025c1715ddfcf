"""The kernels in NumPy: what runs on a CPU, and what the CUDA kernels are tested against."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

FIXED_POINT = 2**32
"""Bias sums count in units of 1 / FIXED_POINT: integers add up to the same bits in any order."""

FLAT = np.float32(1e-5)
"""Added to max - min when a map is normalised (the published code's value), so that a flat map has no region."""

LOWEST = np.float32(-1000)
"""exp() of it is 0, and 0 * LOWEST is 0 where 0 * -inf would be NaN."""

MAPS_AT_ONCE = 64
"""Maps looked at together, so that what is computed of them stays in the cache."""

FRACTION_BITS = 22
"""Of the fixed-point weights of a resize; 8 bits of a pixel and 2 of headroom are left of 32 (Pillow's number)."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def score(
    similarities: torch.Tensor, max_entropy: float, bias_sums: torch.Tensor, bias_counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax, entropy, top-1 and bias sums; see :func:`ccd_fast.kernels.score`."""
    given = similarities.numpy().astype(np.float32, copy=False)
    top = given.argmax(axis=1)
    with np.errstate(invalid="ignore"):  # inf - inf
        shifted = given - np.take_along_axis(given, top[:, None], axis=1)
    np.maximum(shifted, LOWEST, out=shifted)
    scores = np.exp(shifted)
    total = scores.sum(axis=1)
    # H = -sum p ln p = ln Z - sum p x: no logarithm of a score, so 0 ln 0 = 0 needs no care.
    entropy = np.log(total) - np.einsum("mc,mc->m", scores, shifted) / total
    scores /= total[:, None]
    confident = entropy <= np.float32(max_entropy)
    top, top_scores = top[confident], (1 / total[confident]).astype(np.float64)
    np.add.at(bias_sums.numpy(), top, np.rint(top_scores * FIXED_POINT).astype(np.int64))
    np.add.at(bias_counts.numpy(), top, 1)
    return torch.from_numpy(scores), torch.from_numpy(confident)


def update(
    table: torch.Tensor,
    rows: torch.Tensor,
    offsets: torch.Tensor,
    crop_scores: torch.Tensor,
    bias: torch.Tensor,
    floor: float,
    ema: float,
) -> None:
    """Maximum over crops, floor, debias, moving average, clip; see :func:`ccd_fast.kernels.update`.

    The maximum is torch's: numpy.maximum.reduceat is several times slower along the first axis.
    """
    crops = offsets.diff()
    with_crops = (crops > 0).numpy()
    if not with_crops.any():
        return
    owner = torch.repeat_interleave(crops)[:, None].expand(-1, table.shape[1])
    best = torch.empty((len(rows), table.shape[1]), dtype=crop_scores.dtype)  # stays so where there is no crop
    best.scatter_reduce_(0, owner, crop_scores[offsets[0] : offsets[-1]], "amax", include_self=False)
    seen, images, labels = best.float().numpy()[with_crops], rows.numpy()[with_crops], table.numpy()
    fresh = np.maximum(seen, np.float32(floor)) / bias.numpy()
    labels[images] = np.clip(np.float32(ema) * labels[images] + np.float32(1 - ema) * fresh, 0, 1)


def cam_boxes(maps: torch.Tensor, view_size: int, threshold: float, margin: float) -> torch.Tensor:
    """Bilinear upsampling, min-max normalisation, box, margin; see :func:`ccd_fast.kernels.cam_boxes`."""
    given = maps.numpy()
    rows, columns = (Axis.of(extent, view_size) for extent in given.shape[1:])
    boxes = np.empty((len(given), 4), dtype=np.int64)
    for first in range(0, len(given), MAPS_AT_ONCE):
        chunk = given[first : first + MAPS_AT_ONCE].transpose(1, 2, 0).astype(np.float32, order="C")
        boxes[first : first + MAPS_AT_ONCE] = _hot_boxes(chunk, rows, columns, np.float32(threshold))
    grow = round(margin * view_size)
    boxes += np.array([-grow, -grow, grow, grow])
    return torch.from_numpy(boxes.clip(0, view_size))


@dataclass(frozen=True)
class Axis:
    """Where the pixels of a view lie between the samples of a map, along one axis (align_corners = False).

    Attributes:
        low: (S,) the sample before each pixel.
        high: (S,) the sample after it, or the last one.
        part: (S,) float32, how far the pixel is from low to high: a fraction of integers, rounded once.
        corners: the first and the last pixel of each cell between two samples.
    """

    low: Integers
    high: Integers
    part: Floats
    corners: Integers

    @staticmethod
    def of(extent: int, size: int) -> "Axis":
        """Lay ``size`` pixels over ``extent`` samples."""
        position = np.maximum((2 * np.arange(size) + 1) * extent - size, 0)  # in units of 1 / (2 size) samples
        low, rest = np.divmod(position, 2 * size)
        new_cell = np.flatnonzero(np.diff(low, prepend=-1))
        corners = np.union1d(new_cell, np.append(new_cell[1:] - 1, size - 1))
        part = rest.astype(np.float32) / np.float32(2 * size)
        return Axis(low, np.minimum(low + 1, extent - 1), part, corners)

    def at(self, pixels: Integers) -> "Axis":
        """Give the same for some of the pixels."""
        return Axis(self.low[pixels], self.high[pixels], self.part[pixels], np.empty(0, dtype=np.int64))


def _hot_boxes(maps: Floats, rows: Axis, columns: Axis, threshold: np.float32) -> Integers:
    """Enclose each map's normalised region above the threshold: (M, 4) half-open; the whole view if there is none.

    Between neighbouring samples the upsampled map is bilinear, and on a rectangle of pixels a bilinear function is
    largest and smallest in a corner. So minimum and maximum need only the first and last pixel of each cell along both
    axes, and whether a column (row) of the view is hot only the corner rows (columns).

    Args:
        maps: (h, w, M): maps last, so that every step runs along memory.
        rows: of the view.
        columns: of the view.
        threshold: the box encloses what is above.
    """
    corner_rows, corner_columns = rows.at(rows.corners), columns.at(columns.corners)
    with np.errstate(invalid="ignore", over="ignore"):  # a map with inf has NaN in it, and so no region
        upper = _along_rows(maps, corner_rows)
        corners = _along_columns(upper, corner_columns)
        low = corners.min(axis=(0, 1))
        span = corners.max(axis=(0, 1)) - low + FLAT
        by_column = _along_columns(upper, columns).max(axis=0)
        by_row = _along_columns(_along_rows(maps, rows), corner_columns).max(axis=1)
        sides = [_first_and_end((peaks - low) / span > threshold) for peaks in (by_column, by_row)]
    (x0, x1), (y0, y1) = sides
    return np.stack([x0, y0, x1, y1], axis=1)


def _along_rows(maps: Floats, rows: Axis) -> Floats:
    """Interpolate (h, w, M) to (S, w, M)."""
    above, below = maps[rows.low], maps[rows.high]
    below -= above
    below *= rows.part[:, None, None]
    below += above
    return below


def _along_columns(maps: Floats, columns: Axis) -> Floats:
    """Interpolate (h, w, M) to (h, S, M)."""
    left, right = maps[:, columns.low], maps[:, columns.high]
    right -= left
    right *= columns.part[:, None]
    right += left
    return right


def _first_and_end(hot: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Give where the hot pixels of each column of (S, M) begin and end; the whole where there is none."""
    size = len(hot)
    found = hot.any(axis=0)
    return np.where(found, hot.argmax(axis=0), 0), np.where(found, size - hot[::-1].argmax(axis=0), size)


def crop_resize(
    pictures: torch.Tensor, owner: torch.Tensor, boxes: torch.Tensor, size: int, interpolation: str, longest: int
) -> torch.Tensor:
    """Pillow's resize, box by box: along the rows, then along the columns; see :func:`ccd_fast.kernels.crop_resize`."""
    del longest  # it sizes the launch on a GPU
    crops = np.empty((len(owner), size, size, 3), dtype=np.uint8)
    for crop, (picture, (x0, y0, x1, y1)) in enumerate(zip(pictures[owner].tolist(), boxes.tolist(), strict=True)):
        box = _pixels_at(*picture)[y0:y1, x0:x1]
        narrow = _shrunk(box.transpose(1, 0, 2), size, interpolation)
        crops[crop] = _shrunk(narrow.transpose(1, 0, 2), size, interpolation)
    return torch.from_numpy(crops)


def _pixels_at(address: int, height: int, width: int) -> NDArray[np.uint8]:
    """See (height, width, 3) pixels in memory, without a copy."""
    memory = (ctypes.c_uint8 * (height * width * 3)).from_address(address)
    return np.frombuffer(memoryview(memory), np.uint8).reshape(height, width, 3)


def _shrunk(pixels: NDArray[np.uint8], size: int, interpolation: str) -> NDArray[np.uint8]:
    """Resize (n, m, 3) uint8 to (size, m, 3): weights in fixed point, and each sum rounded to 8 bits."""
    first, weights = _weights(len(pixels), size, *FILTERS[interpolation])
    total = np.full((size, *pixels.shape[1:]), 1 << (FRACTION_BITS - 1), dtype=np.int32)
    for tap, weight in enumerate(weights.T):
        total += pixels[np.minimum(first + tap, len(pixels) - 1)] * weight[:, None, None]
    return (total >> FRACTION_BITS).clip(0, 255).astype(np.uint8)


def _weights(
    extent: int, size: int, reach: float, filter_at: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> tuple[Integers, NDArray[np.int32]]:
    """Weigh the source pixels of each output pixel: the first of them, (S,), and (S, taps) int32, 0 behind the last."""
    scale = extent / size
    wide = max(scale, 1.0)
    centre = (np.arange(size) + 0.5) * scale
    first = np.maximum((centre - reach * wide + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + reach * wide + 0.5).astype(np.int64), extent)
    source = first[:, None] + np.arange((end - first).max())
    values = np.where(source < end[:, None], filter_at(np.abs((source - centre[:, None] + 0.5) * (1 / wide))), 0)
    shares = values / np.cumsum(values, axis=1)[:, -1:]  # one after the other, as rounding wants it
    return first, (shares * (1 << FRACTION_BITS) + np.where(shares < 0, -0.5, 0.5)).astype(np.int32)


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x < 1, 1 - x, 0)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Catmull and Rom's."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0))


FILTERS = {"bilinear": (1.0, _triangle), "bicubic": (2.0, _cubic)}
"""How far each filter of a resize reaches, and its value at a distance."""
