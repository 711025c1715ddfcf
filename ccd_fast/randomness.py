"""Random numbers keyed by (seed, epoch, image).

Each draw is a function of its key alone: a run that is resumed, or split over several processes, sees the
same flips, jitters and orders as one that ran through, and no generator has to be saved.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What a draw is for; part of its key, so that no two uses share numbers."""

    ORDER = 0
    FLIP = 1
    JITTER = 2
    BOX = 3
    WEIGHTS = 4
    RESAMPLE = 5


def uniform(seed: int, epoch: int, purpose: Purpose, images: int, draws: int) -> NDArray[np.float64]:
    """Draw numbers in [0, 1) for every image of an epoch at once.

    Args:
        seed: the recipe's seed.
        epoch: the epoch, from 0.
        purpose: what the numbers are for.
        images: N, the number of images of the data set.
        draws: how many numbers each image gets.

    Returns:
        (N, draws) float64; row i belongs to image i whatever part of the set is visited.
    """
    return np.random.default_rng([seed, epoch, purpose]).random((images, draws))


def order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    """Give the order in which an epoch visits the images, a permutation of 0 … N-1, (N,) int64."""
    return np.random.default_rng([seed, epoch, Purpose.ORDER]).permutation(images)


def resamples(images: int, draws: range) -> NDArray[np.uint8]:
    """Draw images with replacement, as often as there are images: the bootstrap.

    Args:
        images: N, at least 1.
        draws: which draws; each is a function of its number and of N alone.

    Returns:
        (N, D) uint8: how often each image is in each draw. More than 255 times the same image is never seen.
    """
    columns = [np.random.default_rng([draw, Purpose.RESAMPLE]).integers(images, size=images) for draw in draws]
    counts = [np.bincount(column, minlength=images).astype(np.uint8) for column in columns]
    return np.stack(counts, axis=1)
