"""The photographs whose labels changed most: where the teacher looked for what, and what the labels became."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.report.album import Album, url, within
from ccd_fast.student import STUDENT_FILTER
from ccd_fast.student.cam import boxes_of_active_classes
from ccd_fast.views import to_image_boxes

SIDE, CROP_SIDE = 320, 96
"""Longest side of a photograph, and side of a crop, in pixels."""
BOXES = 4
"""Boxes that are shown of a photograph, those of the classes that the student is surest of."""
NEAR = np.array([0.3, 0.07])
"""Shares of a photograph's width and height within which two names overlap."""
TOLD = 4
"""Labels that are told of a photograph, beside those of its boxes."""


@dataclass(frozen=True)
class Label:
    """A class of a photograph.

    Attributes:
        name: of the class.
        before: the first label.
        after: the last label.
        truth: whether the class is there; None where that is not known.
    """

    name: str
    before: float
    after: float
    truth: bool | None

    @property
    def change(self) -> str:
        """Give ``"better"`` or ``"worse"``; nothing where no truth is known."""
        if self.truth is None:
            return ""
        return "better" if (self.after > self.before) == self.truth else "worse"


@dataclass(frozen=True)
class Box:
    """A place where the teacher looks for a class: a question, and its answer.

    Attributes:
        label: the class whose CAM it is at, and what its label became.
        probability: what the student gives the class.
        style: its position in shares of the photograph, as CSS.
        crop: as a data URL.
        place: its number among those of the photograph; boxes and crops of one number have one colour.
        below: how many names already stand in its upper left corner, so that its own stands below them.
    """

    label: Label
    probability: float
    style: str
    crop: str
    place: int = 0
    below: int = 0


@dataclass(frozen=True)
class Corrected:
    """A photograph whose labels changed.

    Attributes:
        path: relative to the data set's root.
        picture: as a data URL.
        boxes: where the teacher looks.
        labels: of the classes that have no box here, those that changed most, and the highest.
    """

    path: str
    picture: str
    boxes: list[Box]
    labels: list[Label]


def corrections(album: Album, tau: float | None, count: int) -> tuple[list[Corrected], str]:
    """Find the photographs whose labels changed most, and look at them again with the trained student.

    Args:
        album: the photographs of the run.
        tau: the activity threshold of its updates, where there is one.
        count: photographs at most.

    Returns:
        The photographs, the largest change first; and why there are none, where there are none.
    """
    if not album.updated:
        return [], "the labels were never updated"
    order = np.argsort(-np.abs(album.after - album.before).max(axis=1), kind="stable")[:count]
    found = list(_looked_up(album, order, float(tau or album.model.recipe.relabel.min_tau)))
    return found, "" if found else "none of the photographs can be read any more"


@torch.inference_mode()
def _looked_up(album: Album, rows: NDArray[np.int64], tau: float) -> Iterator[Corrected]:
    model, images, backend = album.model, album.images, album.backend
    size, knobs = model.recipe.student.relabel_size, model.recipe.relabel
    for row in rows.tolist():
        photograph = backend.decode(images.files(np.array([row])), np.array([row]))
        if not len(photograph):
            continue
        height, width = (int(side) for side in photograph.sizes[0])
        logits, cam = model.student(backend.whole(photograph, size, STUDENT_FILTER))
        found = boxes_of_active_classes(logits, cam, tau, size, knobs.cam_threshold, knobs.margin)
        probabilities = torch.sigmoid(logits[0]).tolist()
        best = sorted(range(len(found.classes)), key=lambda k: -probabilities[found.classes[k]])[:BOXES]
        inside = to_image_boxes(found.boxes[best] / size, np.repeat(photograph.sizes, len(best), axis=0), 1)
        whole = np.array([[0, 0, width, height]], dtype=np.int64)
        square = backend.crop(photograph, np.array([0]), whole, SIDE, "bilinear")[0]
        crops = backend.crop(photograph, np.zeros(len(best), dtype=np.int64), inside, CROP_SIDE, "bilinear")
        asked = [int(found.classes[k]) for k in best]
        yield Corrected(
            path=images.paths[row],
            picture=url(square, within(SIDE, width, height)),
            boxes=[
                Box(_label(album, row, c), probabilities[c], _style(box, width, height), crop, place, below)
                for place, (c, box, crop, below) in enumerate(
                    zip(
                        asked,
                        inside,
                        (url(crop, (CROP_SIDE, CROP_SIDE)) for crop in crops),
                        names_above(inside / [width, height, width, height]),
                        strict=True,
                    )
                )
            ],
            labels=[_label(album, row, c) for c in _told(album, row) if c not in asked],
        )


def _label(album: Album, row: int, c: int) -> Label:
    return Label(
        album.model.class_names[c], float(album.before[row, c]), float(album.after[row, c]), album.truth(row, c)
    )


def _told(album: Album, row: int) -> list[int]:
    """Choose the classes that changed most, in the order of their last label."""
    before, after = album.before[row], album.after[row]
    changed = np.argsort(-np.maximum(np.abs(after - before), 0.5 * after), kind="stable")[:TOLD]
    return sorted(changed.tolist(), key=lambda c: -after[c])


def names_above(boxes: NDArray[np.float64]) -> list[int]:
    """Count, for each box, the earlier ones whose names would hide its own.

    Args:
        boxes: (M, 4), in shares of the photograph.
    """
    near: NDArray[np.bool_] = np.all(np.abs(boxes[:, None, :2] - boxes[None, :, :2]) < NEAR, axis=2)
    return [int(near[place, :place].sum()) for place in range(len(near))]


def _style(box: NDArray[np.int64], width: int, height: int) -> str:
    """Give a box as CSS, in percent of the picture."""
    x0, y0, x1, y1 = (int(side) for side in box)
    edges = {"left": x0 / width, "top": y0 / height, "width": (x1 - x0) / width, "height": (y1 - y0) / height}
    return ";".join(f"{edge}:{100 * share:.2f}%" for edge, share in edges.items())
