"""What the teacher said of the last pass's crops, so that boxes which have not moved cost nothing (section 4)."""

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet

Integers = NDArray[np.int64]

NOT_KEPT = -1
"""Position of a crop that the cache does not hold."""


def distinct(owner: Integers, boxes: Integers) -> tuple[Integers, Integers]:
    """Give each box of an image once: the maximum over the crops does not ask how often.

    Args:
        owner: (M,) int64, ascending.
        boxes: (M, 4) int64.

    Returns:
        The same for the K distinct crops, sorted by owner and box.
    """
    unique = np.unique(np.column_stack([owner, boxes]), axis=0)
    return unique[:, 0], unique[:, 1:]


class CropCache:
    """Keeps the scores of the crops of one pass, by image row and box, for the next pass.

    Scores are kept rather than embeddings: the class embeddings are the same for a whole run, and C scores are fewer
    numbers than an embedding's D for every data set of the paper (20 to 81 against 512 to 1,024). Only the last pass
    is kept: a box that has moved on seldom comes back to the pixel. Within the budget the first images stay, since a
    pass sees every image once and to drop one for another would only move the misses.

    A hit gives the very bits that the engine would give again, as a row of its output does not depend on its
    neighbours; so a resumed run, which starts with an empty cache, gives what the run would have given. A photograph
    that changes on disk while a run goes on is not seen again where its boxes have not moved.

    Attributes:
        budget: most bytes that are kept; 0 keeps nothing.
    """

    def __init__(self, budget: int) -> None:
        """Start empty, with a budget in bytes."""
        self.budget = budget
        self.forget()

    def forget(self) -> None:
        """Drop everything."""
        self._images: ImageSet | None = None
        self._keys = np.empty((0, 5), dtype=np.int64)
        self._scores = torch.empty((0, 0))

    @property
    def used(self) -> int:
        """Give the bytes that are kept."""
        return self._keys.nbytes + self._scores.numel() * self._scores.element_size()

    def __len__(self) -> int:
        """Give the number of crops that are kept."""
        return len(self._keys)

    def serve(self, images: ImageSet) -> None:
        """Make ready for a pass over these images: what was kept of other ones is dropped."""
        if images is not self._images:
            self.forget()
            self._images = images

    def find(self, rows: Integers, boxes: Integers) -> Integers:
        """Look crops up.

        Args:
            rows: (M,) int64, images, ascending.
            boxes: (M, 4) int64, in the photographs' pixels.

        Returns:
            (M,) int64, the position of each in the cache, or :data:`NOT_KEPT`.
        """
        if not len(rows) or not len(self):
            return np.full(len(rows), NOT_KEPT)
        first, end = np.searchsorted(self._keys[:, 0], [rows[0], rows[-1] + 1])
        keys = np.concatenate([self._keys[first:end], np.column_stack([rows, boxes])])
        unique, same = np.unique(keys, axis=0, return_inverse=True)
        same = same.reshape(-1)  # NumPy 2.0 gives it another shape than the others
        position = np.full(len(unique), NOT_KEPT)
        position[same[: end - first]] = np.arange(first, end)
        return position[same[end - first :]]

    def scores(self, positions: Integers) -> torch.Tensor:
        """Give the scores at positions that :meth:`find` gave, (M, C) float32, on the host."""
        return self._scores[torch.from_numpy(positions)]

    def replace(self, rows: Integers, boxes: Integers, scores: torch.Tensor) -> None:
        """Keep the crops of a whole pass in place of what was kept, as many of the first as the budget allows.

        Args:
            rows: (M,) int64, images, ascending.
            boxes: (M, 4) int64, each image's distinct.
            scores: (M, C) float32.
        """
        bytes_each = 5 * 8 + scores.shape[1] * scores.element_size()
        count = min(len(rows), self.budget // bytes_each)
        self._keys = np.column_stack([rows[:count], boxes[:count]])
        self._scores = scores[:count].cpu().clone()  # a copy, so that the others can go
