"""Ground-truth boxes of a whole split, as flat arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Boxes:
    """The boxes of N images, M in all; those of image i are ``offsets[i]`` to ``offsets[i + 1]``.

    Attributes:
        offsets: (N + 1,) int64.
        classes: (M,) int64, the class of each box.
        corners: (M, 4) float32, x0, y0, x1, y1 in the photograph's pixels as the data set counts them, half-open.
    """

    offsets: NDArray[np.int64]
    classes: NDArray[np.int64]
    corners: NDArray[np.float32]

    def __len__(self) -> int:
        """Give M, the number of boxes."""
        return len(self.classes)

    def of(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Give the classes (m,) and corners (m, 4) of one image."""
        part = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        return self.classes[part], self.corners[part]


def by_image(owner: NDArray[np.int64], classes: NDArray[np.int64], corners: NDArray[np.float32], images: int) -> Boxes:
    """Sort boxes by image; those of one image keep their order.

    Args:
        owner: (M,) int64, the row of each box's image, below ``images``.
        classes: (M,) int64.
        corners: (M, 4) float32.
        images: N.
    """
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=images)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Boxes(offsets, classes[order], corners.reshape(-1, 4)[order])
