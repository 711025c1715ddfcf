"""From the student's class activation maps to the boxes that the teacher looks at (section 4)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import kernels
from ccd_fast.machine.blocks import blocks


@dataclass(frozen=True)
class CamBoxes:
    """The boxes of a batch of views.

    Attributes:
        owner: (M,) int64, position in the batch of each box's view, ascending.
        classes: (M,) int64, the class that it is for.
        boxes: (M, 4) int64, x0, y0, x1, y1 in the view's pixels, half-open.
    """

    owner: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.int64]


def activity_threshold(probabilities: torch.Tensor, k: int, min_tau: float, rows: torch.Tensor | None = None) -> float:
    """Set tau: the smallest value at which an image has on average at most min(k + 2, C) active classes.

    Args:
        probabilities: (N, C) float32, the sigmoid of the student's logits on the relabel views of all images.
        k: the paper's k.
        min_tau: tau is not smaller than this.
        rows: (N,) bool, the images that count; None is all.

    Returns:
        tau, a float32 value: a class is active where its probability is at or above it.
    """
    classes = probabilities.shape[1]
    images = len(probabilities) if rows is None else int(rows.sum())
    allowed = images * min(k + 2, classes)
    if allowed >= images * classes:
        return min_tau
    # The (allowed + 1)-th largest probability must stay below tau: tau is the next float32 above it.
    too_many = _largest(probabilities, rows, allowed + 1)
    above = torch.nextafter(too_many, torch.tensor(float("inf")))
    return max(min_tau, float(above))


def _largest(probabilities: torch.Tensor, rows: torch.Tensor | None, place: int) -> torch.Tensor:
    """Give the probability at a place, from 1, among all of some rows from the largest down.

    The bits of numbers that are not negative stand in the order of the numbers: their upper half is counted first, and
    then the lower half of those with the upper half that the place falls on.
    """

    def counted(part: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        counts = torch.zeros(2**16, dtype=torch.int64)
        for block in blocks(range(len(probabilities)), probabilities.shape[1]):
            values = probabilities[block] if rows is None else probabilities[block][rows[block]]
            bits = values.contiguous().flatten().view(torch.int32) & 0x7FFFFFFF
            counts += torch.bincount(part(bits), minlength=2**16)
        return counts

    upper, left = _at(counted(lambda bits: bits >> 16), place)
    lower, _ = _at(counted(lambda bits: bits[bits >> 16 == upper] & 0xFFFF), left)
    return torch.tensor(upper << 16 | lower, dtype=torch.int32).view(torch.float32)


def _at(counts: torch.Tensor, place: int) -> tuple[int, int]:
    """Give the value that a place falls on, counted from the highest value down; and the place among its equals."""
    down = counts.flip(0).cumsum(0)
    steps = int(torch.searchsorted(down, place))
    return len(counts) - 1 - steps, place - (int(down[steps - 1]) if steps else 0)


def boxes_of_active_classes(
    logits: torch.Tensor, cam: torch.Tensor, tau: float, view_size: int, threshold: float, margin: float
) -> CamBoxes:
    """Find the box of each active class of each view.

    Args:
        logits: (B, C) float32.
        cam: (B, C, h, w) float32, the student's boosted maps.
        tau: a class is active where the sigmoid of its logit is at or above this.
        view_size: side of the view in pixels.
        threshold: the box encloses the normalised map above this.
        margin: growth on every side, as a share of the view.
    """
    owner, classes = torch.nonzero(torch.sigmoid(logits) >= tau, as_tuple=True)
    boxes = kernels.cam_boxes(cam[owner, classes].contiguous(), view_size, threshold, margin)
    table = torch.column_stack([owner, classes, boxes]).cpu().numpy()  # one copy from a GPU, and not three
    return CamBoxes(table[:, 0].copy(), table[:, 1].copy(), table[:, 2:].copy())
