"""The two views of a photograph that the student trains on (section 5)."""

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import randomness
from ccd_fast.randomness import Purpose
from ccd_fast.recipes.knobs import ConsistencyKnobs
from ccd_fast.student.reading import STUDENT_FILTER
from ccd_fast.views import Photographs, ViewBackend, flipped, jitter_factors


def flips(seed: int, epoch: int, images: int) -> NDArray[np.bool_]:
    """Draw which views are mirrored, (N, 2) bool: the first and the second one of each image."""
    mirrored: NDArray[np.bool_] = randomness.uniform(seed, epoch, Purpose.FLIP, images, 2) < 0.5
    return mirrored


class TrainingViews:
    """The views of one epoch: each image's flips and jitter are keyed by seed, epoch and row.

    Attributes:
        backend: of the views.
        size: side of the square views, in pixels.
        order: (N,) int64, the rows in the order of the epoch.
    """

    def __init__(
        self, backend: ViewBackend, size: int, jitter: ConsistencyKnobs, seed: int, epoch: int, images: int
    ) -> None:
        """Draw the order, the flips and the factors of all N images."""
        self.backend = backend
        self.size = size
        self.order = randomness.order(seed, epoch, images)
        self.flips = flips(seed, epoch, images)
        draws = randomness.uniform(seed, epoch, Purpose.JITTER, images, 4)
        self.factors = jitter_factors(draws, jitter.color_jitter, jitter.hue_jitter)

    def first(self, photographs: Photographs) -> torch.Tensor:
        """Make the flipped view, (B, S, S, 3) uint8."""
        whole = self.backend.whole(photographs, self.size, STUDENT_FILTER)
        return flipped(whole, self.flips[photographs.rows, 0])

    def second(self, first: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
        """Make the second view of ``rows`` from the first: a flip of its own, and colour jitter."""
        again = self.flips[rows, 0] != self.flips[rows, 1]  # flipping the first view back is a flip
        return self.backend.jitter(flipped(first, again), self.factors[rows])
