"""Boxes of objects that people drew: for comparing views only, the method itself needs none.

They come with the data set, or from a CSV file.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.tables import Row, path_in, read_table
from ccd_fast.errors import UserError

COLUMNS = ("path", "class", "x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class ObjectBoxes:
    """The boxes of the objects in the images of an ImageSet.

    Attributes:
        rows: (K,) int64, the image of each box, ascending.
        boxes: (K, 4) float64, x0, y0, x1, y1 in the upright photograph's pixels, half-open.
    """

    rows: NDArray[np.int64]
    boxes: NDArray[np.float64]

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the boxes of some images: each box's position in ``rows``, (M,) ascending, and the boxes, (M, 4)."""
        first, last = np.searchsorted(self.rows, rows, "left"), np.searchsorted(self.rows, rows, "right")
        owner = np.repeat(np.arange(len(rows)), last - first)
        picked = [np.arange(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        return owner, self.boxes[np.concatenate([np.empty(0, dtype=np.int64), *picked])]


def of(images: ImageSet) -> ObjectBoxes | None:
    """Give the boxes that an ImageSet comes with; None where it has none."""
    if images.boxes is None or not len(images.boxes):
        return None
    rows = np.repeat(np.arange(len(images)), np.diff(images.boxes.offsets))
    return ObjectBoxes(rows, images.boxes.corners.astype(np.float64))


def read(file: Path, images: ImageSet) -> ObjectBoxes:
    """Read the boxes of an ImageSet's images from a CSV file.

    Args:
        file: CSV with the columns ``path`` (as in the data set), ``class`` (not used), ``x0``, ``y0``, ``x1``, ``y1``
            (pixels, half-open). Rows of other images are passed over.
        images: N images.

    Raises:
        UserError: a missing file or column, a row that is no box, or no box for any of the images.
    """
    table = read_table(file, "--boxes", COLUMNS)
    row_of = {path: row for row, path in enumerate(images.paths)}
    there = frozenset(row_of)
    found = ((row_of.get(path_in(line.raw("path"), images.root, there, line.where)), line) for line in table.rows)
    boxes = [(row, _box(line)) for row, line in found if row is not None]
    if not boxes:
        raise UserError(f"--boxes {file}: none of its paths is a {images.split} image, such as {images.paths[0]!r}")
    boxes.sort(key=lambda pair: pair[0])
    return ObjectBoxes(np.array([row for row, _ in boxes], dtype=np.int64), np.array([box for _, box in boxes]))


def _box(line: Row) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (line.number(column) for column in COLUMNS[2:])
    if not (0 <= x0 < x1 < np.inf and 0 <= y0 < y1 < np.inf):
        raise UserError(f"{line.where}: x0 must be below x1, and y0 below y1, none below 0")
    return x0, y0, x1, y1
