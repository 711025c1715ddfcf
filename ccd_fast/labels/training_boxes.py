"""Boxes at the CAMs of the training steps, kept until labels are updated from them (``relabel.student = "training"``).

A step's forward pass gives logits and maps of each photograph anyway. They are those of the moment at which it came by,
of its flipped view, which is undone here, and with BatchNorm as in training: statistics of the batch. Under
``train.ema`` they are those of the weights that are trained, not of their average.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import kernels
from ccd_fast.errors import UserError
from ccd_fast.machine import ALONE, Ranks
from ccd_fast.recipes import Recipe
from ccd_fast.student.cam import activity_threshold

SPARE = 4
"""Boxes are kept of so many times the classes that are active in an image on average."""
NO_BOX = float(np.finfo(np.float32).tiny)
"""No probability of a box is smaller, and that of none is."""
MIRRORED, SIGNS, SHIFTED = [2, 1, 0, 3], torch.tensor([-1, 1, -1, 1]), torch.tensor([1, 0, 1, 0])
"""A box's sides in the mirrored view: left and right change places, each at as far from the other edge."""


def check(recipe: Recipe) -> None:
    """Refuse a recipe whose training steps do not show what its label updates ask for.

    Raises:
        UserError: in one line.
    """
    if recipe.relabel.student != "training":
        return
    name = "relabel.student = 'training'"
    if recipe.views.choice != "cam":
        raise UserError(f"{name} needs views.choice = 'cam': nothing else looks at CAMs")
    if recipe.student.relabel_size != recipe.student.image_size:
        raise UserError(f"{name} needs student.relabel_image_size = 'same': CAMs are those of the training views")


@dataclass
class TrainingBoxes:
    """The boxes that training found in N images, at most K each.

    Attributes:
        probabilities: (N, K) float32, of the box's class; 0 where there is no box.
        boxes: (N, K, 4) int32, in the view's pixels, half-open.
        tau: the activity threshold that follows from the probabilities of all images; None before the epoch has ended.
    """

    probabilities: torch.Tensor
    boxes: torch.Tensor
    tau: float | None = None

    @staticmethod
    def none(images: int, classes: int, k: int) -> "TrainingBoxes":
        """Begin with none; ``k`` is the knob ``relabel.k``."""
        most = min(classes, SPARE * (k + 2))
        return TrainingBoxes(torch.zeros((images, most)), torch.zeros((images, most, 4), dtype=torch.int32))

    def add(
        self,
        rows: torch.Tensor,
        seen: tuple[torch.Tensor, torch.Tensor],
        flipped: NDArray[np.bool_],
        view_size: int,
        find: tuple[float, float, float],
    ) -> None:
        """Take what a step saw.

        Args:
            rows: (B,) int64, on the host.
            seen: logits, (B, C), and CAMs, (B, C, h, w), float32, on one device.
            flipped: (B,) bool, views that were mirrored.
            view_size: side of the view, in pixels.
            find: the smallest tau that can be, the CAM's threshold and the margin of a box.
        """
        logits, cam = seen
        least, threshold, margin = find
        images, most = len(rows), self.probabilities.shape[1]
        values, classes = torch.sigmoid(logits).topk(most, dim=1)
        owner, place = torch.nonzero(values >= least, as_tuple=True)
        maps = cam[owner, classes[owner, place]].contiguous()
        boxes = kernels.cam_boxes(maps, view_size, threshold, margin).to(torch.int32)
        mirrored = torch.from_numpy(flipped).to(boxes.device)[owner]
        boxes[mirrored] = boxes[mirrored][:, MIRRORED] * SIGNS.to(boxes) + view_size * SHIFTED.to(boxes)
        every = boxes.new_zeros((images, most, 4))
        every[owner, place] = boxes
        self.boxes[rows] = every.cpu()
        self.probabilities[rows] = torch.where(values >= least, values, 0).cpu()

    def finish(self, predicted: torch.Tensor, k: int, min_tau: float, ranks: Ranks = ALONE) -> None:
        """End the epoch: bring all processes' boxes together, and set tau.

        Args:
            predicted: (R, C) float32, the probabilities of the images that can be read.
            k: the knob ``relabel.k``.
            min_tau: likewise.
            ranks: of the processes, each with the rows of its own and 0 elsewhere.
        """
        ranks.total(self.probabilities)
        ranks.total(self.boxes)
        self.tau = activity_threshold(predicted, k, min_tau)

    def of(self, rows: NDArray[np.int64], tau: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the boxes of active classes: positions in ``rows``, (M,) ascending; and boxes, (M, 4), in pixels."""
        owner, place = torch.nonzero(self.probabilities[rows] >= max(tau, NO_BOX), as_tuple=True)
        return owner.numpy(), self.boxes[rows][owner, place].numpy().astype(np.int64)

    def state(self) -> dict[str, Any]:
        """Give all of it by name, for a checkpoint; ``TrainingBoxes(**state)`` reads it back."""
        return dict(vars(self))
