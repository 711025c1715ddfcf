"""The pass that updates pseudo-labels: the teacher looks again where the student points (section 4)."""

from typing import Any

import torch

from ccd_fast.datasets import ImageSet
from ccd_fast.labels.crop_cache import CropCache, distinct
from ccd_fast.labels.crop_scores import ScoredCrops
from ccd_fast.labels.table import PseudoLabels, Update, update_labels
from ccd_fast.labels.view_choice import ViewChoice
from ccd_fast.runs import Stage
from ccd_fast.student import STUDENT_FILTER, PixelClassifier, Reading
from ccd_fast.teacher import Teacher


def relabel(
    images: ImageSet,
    reading: Reading,
    teacher: Teacher,
    student: PixelClassifier | None,
    labels: PseudoLabels,
    looks: ViewChoice,
    update: Update,
    stage: Stage,
    cache: CropCache | None = None,
) -> dict[int, str]:
    """Update the pseudo-labels of all images from crops, usually at the student's CAMs (section 4).

    Args:
        images: N images.
        reading: of the views; each of its processes gets the whole table.
        teacher: scores the crops.
        student: says where to look, where the choice asks it; it is left in evaluation mode.
        labels: changed all at once, when the pass has ended.
        looks: chooses the crops.
        update: how the labels are drawn towards what the teacher sees.
        stage: advanced by images and crops.
        cache: scores of the last pass; this pass's take their place when it has ended.

    Returns:
        Rows that could not be read, with the reason; they keep their labels.
    """
    if student is not None:
        student.eval()
    unreadable: dict[int, str] = {}
    left = stage.keeper.restored()
    cache = CropCache(budget=0) if cache is None else cache
    scored = ScoredCrops(teacher, cache, images, reading.tables, left and left["scored"])
    if left:
        unreadable |= left["unreadable"]
        stage.go_on(left["done"], len(left["scored"]["rows"]), left["seconds"])

    def so_far() -> dict[str, Any]:
        return {"scored": scored.state(), "unreadable": unreadable, "done": stage.done, "seconds": stage.seconds}

    size = looks.view_size if looks.asks_the_student else 0
    with reading.views(images.files_of_all(), (size, STUDENT_FILTER), stage) as batches:
        for photographs, views in batches:
            unreadable |= photographs.unreadable
            crops = repeats = hits = 0
            if len(photographs):
                seen = None
                if looks.asks_the_student and student is not None:
                    with stage.part("student"), torch.inference_mode():
                        seen = student(views)
                    stage.saw("student", len(photographs))
                with stage.part("boxes"):
                    owner, boxes = looks.boxes(photographs, seen)
                    crops = len(owner)
                    owner, boxes = distinct(owner, boxes)
                    repeats = crops - len(owner)
                    unknown = scored.expect(photographs.rows[owner], boxes)
                    hits = len(owner) - int(unknown.sum())
                with stage.part("crops"):
                    pixels = reading.backend.crop(
                        photographs, owner[unknown], boxes[unknown], teacher.image_size, teacher.interpolation
                    )
                with stage.part("teacher"):
                    scored.add(pixels)
                stage.saw("teacher", len(pixels))
            stage.advance(len(photographs) + len(photographs.unreadable), crops, repeats, hits)
            stage.keeper.keep(so_far)
        with stage.part("teacher"):
            rows, crop_scores = scored.finish()
        with stage.part("update"):
            update_labels(labels, torch.from_numpy(rows), crop_scores, update, reading.tables, reading.batch_size)
    stage.advance(len(images) - len(reading.share(len(images))))
    return reading.ranks.merged(unreadable)
