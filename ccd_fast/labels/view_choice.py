"""Where the teacher looks again: at the student's CAMs, or elsewhere for comparison (section 4; the toy experiment).

Everything here counts in shares of the photograph's width and height; only the last step knows pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import randomness
from ccd_fast.datasets import ObjectBoxes
from ccd_fast.errors import UserError
from ccd_fast.labels.training_boxes import TrainingBoxes
from ccd_fast.randomness import Purpose
from ccd_fast.recipes.knobs import RelabelKnobs, ViewKnobs
from ccd_fast.student.cam import boxes_of_active_classes
from ccd_fast.views import Photographs, to_image_boxes

Owners = NDArray[np.int64]
Boxes = NDArray[np.float64]

SEVERAL = ("cam", "random", "near-ground-truth")
"""Choices that ``views.per_class`` multiplies."""

MOVED = ("cam", "near-ground-truth")
"""Choices that ``views.jitter`` moves."""

NEED_BOXES = ("ground-truth", "near-ground-truth")
"""Choices that need boxes which people drew."""


def check(views: ViewKnobs, relabel: RelabelKnobs, objects: ObjectBoxes | None) -> None:
    """Refuse knobs that the choice would not heed, and a choice that the data set cannot serve.

    Raises:
        UserError: in one line.
    """
    if views.choice in NEED_BOXES and objects is None:
        raise UserError(f"views.choice = {views.choice!r} needs boxes of the objects: give them with --boxes FILE")
    if views.choice not in SEVERAL and views.per_class != 1:
        raise UserError(f"views.per_class must be 1 with views.choice = {views.choice!r}: it would not be heeded")
    if views.choice not in MOVED and views.jitter != 0:
        raise UserError(f"views.jitter must be 0 with views.choice = {views.choice!r}: it would not be heeded")
    if views.choice != "cam" and relabel.cache_grid != 0:
        raise UserError(f"relabel.cache_grid must be 0 with views.choice = {views.choice!r}: it would not be heeded")
    if views.choice == "near-ground-truth" and views.jitter == 0:
        raise UserError("views.choice = 'near-ground-truth' needs views.jitter above 0: it says how near")


@dataclass(frozen=True)
class Cams:
    """Where CAMs come from: the view that they are of, and which of them count.

    Attributes:
        view_size: side of the view, in pixels.
        tau: a class is active where its probability is at or above this.
        kept: boxes that training steps found, where the student is not asked again.
    """

    view_size: int
    tau: float
    kept: TrainingBoxes | None = None


class ViewChoice:
    """Chooses the crops of one pass over N images.

    Attributes:
        asks_the_student: whether :meth:`boxes` needs the student's logits and CAMs.
        view_size: side of the view that the CAMs are of, in pixels.
    """

    def __init__(
        self,
        views: ViewKnobs,
        relabel: RelabelKnobs,
        cams: Cams,
        size: tuple[int, int],
        key: tuple[int, int],
        objects: ObjectBoxes | None,
        grids: Sequence[int] = (),
    ) -> None:
        """Draw what is random; the knobs have been through :func:`check`.

        Args:
            views: which choice, and its knobs.
            relabel: threshold and margin of the boxes at CAMs.
            cams: where they come from.
            size: N images and C classes.
            key: seed and epoch, the key of what is random.
            objects: boxes that people drew, for the choices that need them.
            grids: cells along a side, of several grids; none is the one of the knobs.
        """
        images, classes = size
        self._cells = np.concatenate([grid_boxes(side) for side in grids or (views.grid,)])
        self.views, self.relabel, self.cams, self.objects = views, relabel, cams, objects
        self.asks_the_student = views.choice == "cam" and cams.kept is None
        self.view_size = cams.view_size
        self._random: Boxes | None = None
        self._shifts: Boxes | None = None
        if views.choice == "random":
            number = min(relabel.k + 2, classes) * views.per_class  # as many as the CAMs give on average
            draws = randomness.uniform(*key, Purpose.BOX, images, 4 * number)
            smallest = min(1.0, 2 * relabel.margin)  # a box at a CAM is no smaller, away from the edges
            self._random = random_boxes(draws.reshape(images, number, 4), smallest)
        elif views.jitter > 0:
            draws = randomness.uniform(*key, Purpose.BOX, images, 4 * views.per_class)
            self._shifts = ((2 * draws - 1) * views.jitter).reshape(images, -1, 4)

    def boxes(
        self, photographs: Photographs, seen: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[Owners, NDArray[np.int64]]:
        """Choose the crops of a batch.

        Args:
            photographs: B photographs.
            seen: the student's logits, (B, C), and CAMs, (B, C, h, w), where it was asked.

        Returns:
            The owner of each crop, its position in the batch, (M,) ascending; and the boxes, (M, 4) int64, in the
            photographs' pixels, half-open, inside them.
        """
        size = len(photographs)
        choice = self.views.choice
        if choice == "cam":
            owner, boxes = self._at_cams(photographs, seen)
        elif choice == "whole":
            owner, boxes = np.arange(size), np.tile([0.0, 0.0, 1.0, 1.0], (size, 1))
        elif choice == "grid":
            owner, boxes = np.repeat(np.arange(size), len(self._cells)), np.tile(self._cells, (size, 1))
        elif choice == "random" and self._random is not None:
            drawn = self._random[photographs.rows]
            owner, boxes = np.repeat(np.arange(size), drawn.shape[1]), drawn.reshape(-1, 4)
        else:
            owner, boxes = self._at_objects(photographs)
        shift = None
        if choice in SEVERAL and choice != "random":
            per_class = self.views.per_class
            turn = np.tile(np.arange(per_class), len(owner))
            owner, boxes = np.repeat(owner, per_class), np.repeat(boxes, per_class, axis=0)
            shift = None if self._shifts is None else self._shifts[photographs.rows[owner], turn]
        found = to_image_boxes(boxes, photographs.sizes[owner], 1, shift)
        return self._with_whole_images(owner, found, photographs) if self.relabel.whole else (owner, found)

    def _with_whole_images(
        self, owner: Owners, boxes: NDArray[np.int64], photographs: Photographs
    ) -> tuple[Owners, NDArray[np.int64]]:
        """Add the whole of every photograph."""
        whole = np.hstack([np.zeros_like(photographs.sizes), photographs.sizes[:, ::-1]])
        owners = np.concatenate([owner, np.arange(len(photographs))])
        order = np.argsort(owners, kind="stable")
        return owners[order], np.concatenate([boxes, whole])[order]

    def _at_cams(
        self, photographs: Photographs, seen: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[Owners, Boxes]:
        """Box the hot region of each active class."""
        knobs, size = self.relabel, self.view_size
        if self.cams.kept is not None:
            owner, boxes = self.cams.kept.of(photographs.rows, self.cams.tau)
            return owner, snapped(boxes, knobs.cache_grid, size) / size
        if seen is None:
            raise ValueError("the student was not asked")
        found = boxes_of_active_classes(*seen, self.cams.tau, size, knobs.cam_threshold, knobs.margin)
        return found.owner, snapped(found.boxes, knobs.cache_grid, size) / size

    def _at_objects(self, photographs: Photographs) -> tuple[Owners, Boxes]:
        """Take the boxes that people drew."""
        if self.objects is None:
            raise ValueError("there are no boxes")
        owner, boxes = self.objects.of(photographs.rows)
        return owner, boxes / np.tile(photographs.sizes[owner][:, ::-1], 2)


def snapped(boxes: NDArray[np.int64], grid: int, view_size: int) -> NDArray[np.int64]:
    """Grow boxes outward to a grid, inside the view: (M, 4) int64 in the view's pixels. A grid of 0 is none."""
    if not grid:
        return boxes
    low, high = boxes[:, :2] // grid * grid, -(-boxes[:, 2:] // grid) * grid
    return np.concatenate([low, np.minimum(high, view_size)], axis=1)


def grid_boxes(side: int) -> Boxes:
    """Divide a photograph into side by side equal cells, row by row: (side * side, 4) in shares."""
    edges = np.arange(side + 1) / side
    y0, x0 = (lines.ravel() for lines in np.meshgrid(edges[:-1], edges[:-1], indexing="ij"))
    y1, x1 = (lines.ravel() for lines in np.meshgrid(edges[1:], edges[1:], indexing="ij"))
    return np.stack([x0, y0, x1, y1], axis=1)


def random_boxes(draws: NDArray[np.float64], smallest: float) -> Boxes:
    """Turn uniform draws into boxes: sides uniform from ``smallest`` to 1, then the place uniform where it fits.

    Args:
        draws: (N, n, 4) in [0, 1).
        smallest: shortest side, as a share of the photograph's.

    Returns:
        (N, n, 4) in shares.
    """
    sides = smallest + draws[..., :2] * (1 - smallest)
    corner = draws[..., 2:] * (1 - sides)
    return np.concatenate([corner, corner + sides], axis=-1)
