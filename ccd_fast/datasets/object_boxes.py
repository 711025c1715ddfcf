"""Boxes of objects that people drew: for comparing views only, the method itself needs none.

They come with the data set, or from a CSV file.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccd_fast.datasets.image_set import ImageSet
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
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            columns, lines = list(reader.fieldnames or []), list(reader)
    except FileNotFoundError:
        raise UserError(f"--boxes {file}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--boxes {file}: cannot be read: {error}") from error
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise UserError(f"--boxes {file}: no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
    row_of = {path: row for row, path in enumerate(images.paths)}
    boxes = [(row_of[line["path"]], _box(file, number, line)) for number, line in _known(lines, row_of)]
    if not boxes:
        raise UserError(f"--boxes {file}: none of its paths is a {images.split} image, such as {images.paths[0]!r}")
    boxes.sort(key=lambda pair: pair[0])
    return ObjectBoxes(np.array([row for row, _ in boxes], dtype=np.int64), np.array([box for _, box in boxes]))


def _known(lines: list[dict[str, str]], row_of: dict[str, int]) -> list[tuple[int, dict[str, str]]]:
    """Keep the lines of known images, with their numbers; the header is line 1."""
    return [(number, line) for number, line in enumerate(lines, start=2) if line["path"] in row_of]


def _box(file: Path, number: int, line: dict[str, str]) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(line[column]) for column in COLUMNS[2:])
    except (TypeError, ValueError):
        raise UserError(f"--boxes {file}: row {number}: x0, y0, x1, y1 must be numbers, in pixels") from None
    if not (0 <= x0 < x1 < np.inf and 0 <= y0 < y1 < np.inf):
        raise UserError(f"--boxes {file}: row {number}: x0 must be below x1, and y0 below y1, none below 0")
    return x0, y0, x1, y1
