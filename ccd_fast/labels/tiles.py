"""The pass that lets the teacher look at the tiles of a grid: the most and the least it sees of each class (CDUL)."""

import numpy as np
import torch

from ccd_fast.datasets import ImageSet
from ccd_fast.labels.crop_cache import CropCache
from ccd_fast.labels.crop_scores import ScoredCrops
from ccd_fast.labels.view_choice import grid_boxes
from ccd_fast.runs import Stage
from ccd_fast.student import Reading
from ccd_fast.teacher import Teacher
from ccd_fast.views import to_image_boxes


def score_tiles(
    images: ImageSet, reading: Reading, teacher: Teacher, grid: int, stage: Stage
) -> tuple[torch.Tensor, torch.Tensor]:
    """Let the teacher score the cells of a grid on every image.

    Args:
        images: N images.
        reading: of the views, in one process.
        teacher: scores them.
        grid: cells along a side.
        stage: advanced by images and tiles.

    Returns:
        The largest and the smallest score over an image's tiles, (N, C) float32 each; 0 for images that cannot be read.
    """
    scored, cells = ScoredCrops(teacher, CropCache(budget=0), images), grid_boxes(grid)
    with reading.views(images.files_of_all(), (0, "bilinear"), stage) as batches:
        for photographs, _ in batches:
            owner, boxes = np.repeat(np.arange(len(photographs)), len(cells)), np.tile(cells, (len(photographs), 1))
            boxes_in_pixels = to_image_boxes(boxes, photographs.sizes[owner], 1, None)
            with stage.part("crops"):
                scored.expect(photographs.rows[owner], boxes_in_pixels)
                pixels = reading.backend.crop(
                    photographs, owner, boxes_in_pixels, teacher.image_size, teacher.interpolation
                )
            with stage.part("teacher"):
                scored.add(pixels)
            stage.saw("teacher", len(pixels))
            stage.advance(len(photographs) + len(photographs.unreadable), len(owner))
        rows, scores = scored.finish()
    index = torch.from_numpy(rows)[:, None].expand(-1, scores.shape[1])
    most, least = (torch.zeros(len(images), scores.shape[1]) for _ in range(2))
    return tuple(  # type: ignore[return-value]
        into.scatter_reduce_(0, index, scores.cpu(), reduce=how, include_self=False)
        for into, how in ((most, "amax"), (least, "amin"))
    )
