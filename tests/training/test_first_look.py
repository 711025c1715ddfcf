"""The first labels look at the cells of a grid too, and meet there what the teacher says of each cell."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from ccd_fast.datasets import load
from ccd_fast.labels.view_choice import grid_boxes
from ccd_fast.recipes import config
from ccd_fast.runs import Stages
from ccd_fast.training.standard import StandardPasses
from ccd_fast.views import to_image_boxes

pytestmark = pytest.mark.usefixtures("cache")
WEIGHT, FLOOR = 0.25, 0.03


@pytest.mark.parametrize("grids", [[2], [2, 3]])
def test_first_labels_are_the_weighted_mean_of_the_whole_image_and_the_cells_maximum(photo_folder, tiny_clip, grids):
    images = load("folder", photo_folder, "train", photo_folder / "classes.txt", None)
    recipe = config.load("folder", [f"teacher.model='{tiny_clip}'", "teacher.batch_size=8", f"labels.grids={grids}",
                                    f"labels.whole_weight={WEIGHT}", f"labels.floor={FLOOR}"])  # fmt: skip
    passes = StandardPasses(recipe, images, None, "cpu", lambda _: None)
    stages = Stages(Console(file=io.StringIO()), lambda _: None)
    with stages.stage("first labels", len(images)) as stage:
        gathered, _ = passes.whole_images(images, stage)
    labels = gathered.finish(FLOOR, recipe.bias.min_count, debias=True)
    whole = labels.table.clone()
    with stages.stage("cells", len(images)) as stage:
        assert passes.cells(images, labels, stage) == {}
    teacher, backend = passes.teacher, passes.reading.backend
    rows = np.arange(6)
    photographs = backend.decode(images.files(rows), rows)
    shares = np.concatenate([grid_boxes(side) for side in grids])
    number = len(shares)
    cells = to_image_boxes(np.tile(shares, (6, 1)), photographs.sizes.repeat(number, axis=0), 1, None)
    pixels = backend.crop(photographs, rows.repeat(number), cells, teacher.image_size, teacher.interpolation)
    highest = teacher.similarities(pixels).softmax(dim=1).view(6, number, -1).amax(dim=1)
    expected = (WEIGHT * whole[:6] + (1 - WEIGHT) * highest.clamp_min(FLOOR) / labels.bias).clamp(0, 1)
    torch.testing.assert_close(labels.table[:6], expected, atol=1e-5, rtol=0)
    assert not torch.equal(labels.table, whole)
