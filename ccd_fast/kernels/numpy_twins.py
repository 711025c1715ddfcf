"""The kernels in NumPy: what runs on a CPU, and what the other implementations are tested against."""

import numpy as np
from numpy.typing import NDArray

FIXED_POINT = 2**32
"""Bias sums count in units of 1 / FIXED_POINT: integers add up to the same bits in any order."""

FLAT = 1e-5
"""Added to max - min when a map is normalised (the published code's value), so that a flat map has no region."""

MAPS_AT_ONCE = 64
"""Maps upsampled at a time: 64 views of 640 pixels are 100 MB."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def score(
    similarities: Floats, max_entropy: float, bias_sums: Integers, bias_counts: Integers
) -> tuple[Floats, NDArray[np.bool_]]:
    """Softmax, entropy, top-1 and bias sums; see :func:`ccd_fast.kernels.score`."""
    shifted = similarities - similarities.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    scores = exponentials / total
    # H = -sum p ln p = ln Z - sum p x: no logarithm of a score, so 0 ln 0 = 0 needs no care.
    entropy = np.log(total[:, 0]) - (scores * shifted).sum(axis=1)
    confident = entropy <= max_entropy
    top = scores.argmax(axis=1)[confident]
    top_scores = scores.max(axis=1)[confident].astype(np.float64)
    np.add.at(bias_sums, top, np.rint(top_scores * FIXED_POINT).astype(np.int64))
    np.add.at(bias_counts, top, 1)
    return scores, confident


def update(
    table: Floats, rows: Integers, offsets: Integers, crop_scores: Floats, bias: Floats, floor: float, ema: float
) -> None:
    """Maximum over crops, floor, debias, moving average, clip; see :func:`ccd_fast.kernels.update`."""
    if not len(rows):
        return
    best = np.maximum.reduceat(crop_scores, offsets[:-1], axis=0)
    fresh = np.maximum(best, np.float32(floor)) / bias
    table[rows] = np.clip(np.float32(ema) * table[rows] + np.float32(1 - ema) * fresh, 0, 1)


def cam_boxes(maps: Floats, view_size: int, threshold: float, margin: float) -> Integers:
    """Bilinear upsampling, min-max normalisation, box, margin; see :func:`ccd_fast.kernels.cam_boxes`."""
    rows, columns = (bilinear_matrix(extent, view_size) for extent in maps.shape[1:])
    boxes = np.empty((len(maps), 4), dtype=np.int64)
    for first in range(0, len(maps), MAPS_AT_ONCE):
        chunk = slice(first, first + MAPS_AT_ONCE)
        upsampled: Floats = np.matmul(rows @ maps[chunk], columns.T, dtype=np.float32)
        boxes[chunk] = _hot_boxes(upsampled, threshold)
    grow = round(margin * view_size)
    boxes += np.array([-grow, -grow, grow, grow])
    return boxes.clip(0, view_size)


def bilinear_matrix(extent: int, size: int) -> Floats:
    """Give the (size, extent) matrix that upsamples one axis bilinearly (align_corners = False)."""
    centres = np.maximum((np.arange(size) + 0.5) * extent / size - 0.5, 0)
    low = np.minimum(centres.astype(np.int64), extent - 1)
    high = np.minimum(low + 1, extent - 1)
    matrix = np.zeros((size, extent), dtype=np.float32)
    np.add.at(matrix, (np.arange(size), low), 1 - (centres - low))
    np.add.at(matrix, (np.arange(size), high), centres - low)
    return matrix


def _hot_boxes(maps: Floats, threshold: float) -> Integers:
    """Enclose each map's normalised region above the threshold: (M, 4) half-open; the whole map if there is none."""
    low = maps.min(axis=(1, 2), keepdims=True)
    span = maps.max(axis=(1, 2), keepdims=True) - low
    hot = (maps - low) / (span + np.float32(FLAT)) > threshold
    sides = []
    for axis in (1, 2):  # any over the rows leaves the columns: x; then y
        line = hot.any(axis=axis)
        extent = line.shape[1]
        found = line.any(axis=1)
        first = np.where(found, line.argmax(axis=1), 0)
        last = np.where(found, extent - line[:, ::-1].argmax(axis=1), extent)
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    return np.stack([x0, y0, x1, y1], axis=1)
