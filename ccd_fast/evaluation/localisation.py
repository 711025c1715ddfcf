"""How well the student's CAMs find the objects, where a data set says where they are. For evaluation only."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import kernels
from ccd_fast.datasets import Boxes, ImageSet
from ccd_fast.recipes.knobs import RelabelKnobs
from ccd_fast.runs import Stage
from ccd_fast.student import LOAD_BATCH, STUDENT_FILTER, PixelClassifier, decoded
from ccd_fast.views import ViewBackend

FOUND = 0.5
"""IoU from which a box counts as right: CorLoc's."""


@dataclass(frozen=True)
class Localisation:
    """How the CAM of each class that is in an image compares with the class's objects there. Shares, in 0 … 1.

    Attributes:
        pairs: images and classes that were compared: each class that has a box in an image that could be read.
        cor_loc: pairs whose CAM box, without margin, has an IoU of at least 0.5 with an object of the class.
        iou: mean over pairs of the best IoU with an object of the class.
        whole_image_iou: the same for the whole image in place of the box, for comparison.
        covered: mean share of that object which the crop, with its margin, holds.
        crop_area: mean share of the image that the crop takes.
    """

    pairs: int
    cor_loc: float
    iou: float
    whole_image_iou: float
    covered: float
    crop_area: float

    def record(self) -> dict[str, Any]:
        """Give the figures as plain data."""
        return asdict(self)


@torch.inference_mode()
def localise(
    student: PixelClassifier, images: ImageSet, backend: ViewBackend, size: int, knobs: RelabelKnobs, stage: Stage
) -> Localisation | None:
    """Compare CAM boxes with the objects' boxes, on the views that a relabel pass takes.

    Args:
        student: it is left in evaluation mode.
        images: N images, ``images.boxes`` being known.
        backend: of the views.
        size: side of the view, in pixels.
        knobs: threshold of the map and margin of the crop.
        stage: advanced by the images seen.

    Returns:
        The comparison; None where the data set has no box, or none in an image that can be read.
    """
    if images.boxes is None:
        return None
    student.eval()
    figures: list[NDArray[np.float64]] = []
    for photographs in decoded(images.files_of_all(), backend, stage, LOAD_BATCH):
        if len(photographs):
            with stage.part("student"):
                _, cam = student(backend.whole(photographs, size, STUDENT_FILTER))
            pairs = _objects(images.boxes, photographs.rows, photographs.sizes, size)
            if pairs:
                maps = torch.stack([cam[place, label] for place, label, _ in pairs])
                tight = kernels.cam_boxes(maps, size, knobs.cam_threshold, 0.0).numpy()
                crops = kernels.cam_boxes(maps, size, knobs.cam_threshold, knobs.margin).numpy()
                objects = [own for _, _, own in pairs]
                figures += [compare(*boxes, size) for boxes in zip(tight, crops, objects, strict=True)]
        stage.advance(len(photographs) + len(photographs.unreadable))
    if not figures:
        return None
    table = np.array(figures)
    iou, whole, covered, area = table.mean(axis=0).tolist()
    return Localisation(len(table), float((table[:, 0] >= FOUND).mean()), iou, whole, covered, area)


def _objects(
    boxes: Boxes, rows: NDArray[np.int64], sizes: NDArray[np.int64], view_size: int
) -> list[tuple[int, int, NDArray[np.float64]]]:
    """Give place in the batch, class, and objects (m, 4) in the view's pixels, of each pair of image and class."""
    pairs = []
    for place, row in enumerate(rows.tolist()):
        classes, corners = boxes.of(row)
        height, width = sizes[place].tolist()
        scaled = corners.astype(np.float64) * view_size / np.array([width, height, width, height])
        pairs += [(place, int(label), scaled[classes == label]) for label in np.unique(classes)]
    return pairs


def compare(
    tight: NDArray[np.int64], crop: NDArray[np.int64], objects: NDArray[np.float64], view_size: int
) -> NDArray[np.float64]:
    """Compare one class's box and crop with its objects.

    Args:
        tight: (4,) the CAM's box without margin.
        crop: (4,) the box with it.
        objects: (m, 4) of the class, m at least 1.
        view_size: side of the view that all of them are in, in pixels.

    Returns:
        (4,): best IoU of the box; best IoU of the whole view; share of the box's object that is in the crop; share of
        the view that the crop takes.
    """
    whole = np.array([0, 0, view_size, view_size])
    ious = _intersection(tight, objects) / _union(tight, objects)
    best = int(ious.argmax())
    covered = _intersection(crop, objects)[best] / _area(objects)[best]
    whole_iou = (_intersection(whole, objects) / _union(whole, objects)).max()
    return np.array([ious[best], whole_iou, covered, _area(crop) / view_size**2])


def _area(boxes: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]), dtype=np.float64)


def _intersection(box: NDArray[Any], objects: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.maximum(box[:2], objects[:, :2]), np.minimum(box[2:], objects[:, 2:])
    return np.asarray((high - low).clip(min=0).prod(axis=1), dtype=np.float64)


def _union(box: NDArray[Any], objects: NDArray[np.float64]) -> NDArray[np.float64]:
    return _area(box) + _area(objects) - _intersection(box, objects)
