"""The pass that makes the first pseudo-labels: the teacher scores every whole image (sections 1 and 2)."""

from typing import Any

import torch

from ccd_fast.datasets import ImageSet
from ccd_fast.labels.full_batches import FullBatches
from ccd_fast.labels.table import FirstLabels
from ccd_fast.runs import Stage
from ccd_fast.student import Reading
from ccd_fast.teacher import Teacher


def score_whole_images(
    images: ImageSet, reading: Reading, teacher: Teacher, max_entropy: float, stage: Stage
) -> tuple[FirstLabels, dict[int, str]]:
    """Let the teacher score every whole image (section 1).

    Args:
        images: N images.
        reading: of the views; each of its processes gets the whole result.
        teacher: scores them.
        max_entropy: an image is confident up to this entropy, in nats.
        stage: advanced by the images seen.

    Returns:
        What was gathered, on the host, and the unreadable rows with the reason.
    """
    unreadable: dict[int, str] = {}
    left = stage.keeper.restored()
    gathered = FirstLabels(
        len(images),
        len(images.class_names),
        max_entropy,
        teacher.anchors,
        reading.tables,
        reading.batch_size,
        left and left["gathered"],
    )
    if left:
        unreadable |= left["unreadable"]
        stage.go_on(left["done"], seconds=left["seconds"])

    rows: list[torch.Tensor] = []  # of the views that the teacher has not scored yet

    def take(similarities: torch.Tensor) -> None:
        waiting = torch.cat(rows)
        gathered.add(waiting[: len(similarities)], similarities)
        rows[:] = [waiting[len(similarities) :]]

    scored = FullBatches(teacher, take)

    def so_far() -> dict[str, Any]:
        scored.flush()
        return {"gathered": gathered.state(), "unreadable": unreadable, "done": stage.done, "seconds": stage.seconds}

    with reading.views(images.files_of_all(), (teacher.image_size, teacher.interpolation), stage) as batches:
        for photographs, views in batches:
            unreadable |= photographs.unreadable
            with stage.part("teacher"):
                if len(photographs):
                    rows.append(torch.from_numpy(photographs.rows))
                    scored.add(views)
                    stage.saw("teacher", len(photographs))
            stage.advance(len(photographs) + len(photographs.unreadable))
            stage.keeper.keep(so_far)
        with stage.part("teacher"):
            scored.flush()
        gathered.put_together(reading)
    stage.advance(len(images) - len(reading.share(len(images))))
    return gathered, reading.ranks.merged(unreadable)
