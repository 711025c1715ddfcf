"""Boxes move between the view, which is square, and the photograph, which is not."""

import numpy as np
from numpy.typing import NDArray


def to_image_boxes(
    boxes: NDArray[np.int64] | NDArray[np.float64],
    sizes: NDArray[np.int64],
    view_size: int,
    shift: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Carry boxes from the view's pixels to the photograph's.

    Args:
        boxes: (M, 4) int64 or float64, x0, y0, x1, y1 in the view's pixels, half-open.
        sizes: (M, 2) int64, height and width of each box's photograph in pixels.
        view_size: side of the view in pixels; 1 for boxes in shares of the view.
        shift: (M, 4) float64 or None: how far each side moves, as a share of the box's width or height.

    Returns:
        (M, 4) int64 in the photograph's pixels, inside it, at least one pixel wide and high.
    """
    corners = boxes.astype(np.float64)
    if shift is not None:
        extent = corners[:, 2:] - corners[:, :2]
        corners = corners + shift * np.tile(extent, 2)
    limits = np.tile(sizes[:, ::-1], 2)
    # Rounding before floor and ceil: 7 * (300 / 224) must not fall one ulp short of a whole pixel.
    scaled = np.round(corners * limits / view_size, 9)
    low = np.clip(np.floor(scaled[:, :2]), 0, limits[:, :2] - 1)
    high = np.clip(np.ceil(scaled[:, 2:]), low + 1, limits[:, 2:])
    return np.concatenate([low, high], axis=1).astype(np.int64)
