"""What is known of the labels before training: +1, -1 or 0 (unknown) an image and class, and what it is drawn from.

The systems of the paper's table differ in it most of all. The draws are those of the published code, bit by bit:
NumPy's legacy generator, in the order in which that code asks it.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

PARTIAL_SEED = 0
"""Seed of the published draw of single entries (SARB, SST)."""
ONE_POSITIVE_SEED = 1200
"""Seed of the published draw of one positive an image (Cole et al., LL-R)."""

Matrix = NDArray[np.int8]
Truth = NDArray[np.bool_]


def full(truth: Truth, rows: Truth) -> Matrix:
    """Take every label.

    Args:
        truth: (N, C).
        rows: (N,), the rows of the truth that are known; the others become 0.

    Returns:
        (N, C) int8, as each of these sources.
    """
    return np.where(rows[:, None], np.where(truth, 1, -1), 0).astype(np.int8)


def partial(truth: Truth, rows: Truth, share: float, seed: int = PARTIAL_SEED) -> Matrix:
    """Take a share of the entries, whatever their sign; see :func:`full`."""
    drawn = np.random.RandomState(seed).random_sample(truth.shape) < share
    return np.where(drawn, full(truth, rows), 0).astype(np.int8)


def few(truth: Truth, rows: Truth, seed: int = ONE_POSITIVE_SEED, positives: int = 1, negatives: int = 0) -> Matrix:
    """Take one positive of each image that has any, or a few labels of each sign; see :func:`full`.

    The negatives are shuffled even where none of them is kept: that moves the generator on, as in the published code.
    """
    generator = np.random.RandomState(seed)
    found = np.zeros(truth.shape, dtype=np.int8)
    for row, of_image in enumerate(truth):
        for sign, wanted in ((1, positives), (-1, negatives)):
            classes = np.flatnonzero(of_image == (sign > 0))
            generator.shuffle(classes)
            found[row, classes[:wanted]] = sign
    found[~rows] = 0
    return found


def teacher_top1(scores: torch.Tensor, readable: torch.Tensor) -> Matrix:
    """Take the teacher's first class as the one positive of each image.

    Args:
        scores: (N, C) float32.
        readable: (N,) bool; nothing is known of the other rows.
    """
    found = np.zeros(tuple(scores.shape), dtype=np.int8)
    found[np.arange(len(found)), scores.argmax(dim=1).numpy()] = 1
    found[~readable.numpy()] = 0
    return found


def teacher_threshold(scores: torch.Tensor, readable: torch.Tensor, threshold: float) -> Matrix:
    """Take every class that the teacher scores at or above a threshold as positive, and the first class in any case."""
    above = (scores >= threshold).numpy() & readable.numpy()[:, None]
    found: Matrix = np.maximum(teacher_top1(scores, readable), above.astype(np.int8))
    return found


def digest(matrix: Matrix) -> str:
    """Give a digest by which two systems can be seen to have been told the same."""
    return hashlib.blake2b(repr(matrix.shape).encode() + matrix.tobytes(), digest_size=16).hexdigest()


def counts(matrix: Matrix) -> dict[str, int]:
    """Count the known entries by sign, and the images of which anything is known."""
    return {
        "positive": int((matrix == 1).sum()),
        "negative": int((matrix == -1).sum()),
        "images": int((matrix != 0).any(axis=1).sum()),
    }
