import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from ccd_fast.datasets import ImageSet
from ccd_fast.datasets.boxes import by_image
from ccd_fast.evaluation.localisation import compare, localise
from ccd_fast.recipes import config
from ccd_fast.runs.progress import Stage
from ccd_fast.views.pillow import PillowViews

SIDE = 64


class Lookout:
    """A student that sees class 0 in the top left quarter of every picture, and class 1 everywhere."""

    classes = 2

    def eval(self):
        return self

    def __call__(self, pixels):
        cam = torch.zeros(len(pixels), 2, 8, 8)
        cam[:, 0, :4, :4] = 1.0
        cam[:, 1] = torch.arange(64).reshape(8, 8) * 1e-9  # flat but for rounding: no hot region, so the whole view
        return torch.zeros(len(pixels), 2), cam


@pytest.fixture
def images(tmp_path):
    Image.new("RGB", (200, 100)).save(tmp_path / "wide.png")
    Image.new("RGB", (50, 50)).save(tmp_path / "square.png")
    (tmp_path / "rotten.png").write_bytes(b"no picture")
    corners = np.array([[0, 0, 100, 50], [150, 60, 200, 100], [0, 0, 50, 50], [0, 0, 9, 9]], dtype=np.float32)
    boxes = by_image(np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1]), corners, 3)
    names = ("wide.png", "square.png", "rotten.png")
    classes = ("a", "b")
    return ImageSet("folder", "test", tmp_path, names, classes, classes, None, np.zeros(3, dtype=bool), boxes=boxes)


def run(images, *overrides):
    recipe = config.load("folder", [f"student.image_size={SIDE}", *overrides])
    stage = Stage("localise", 3, lambda _: None)
    return localise(Lookout(), images, PillowViews(), recipe.student.relabel_size, recipe.relabel, stage), stage


def test_each_class_of_an_image_is_compared_with_its_best_object(images):
    found, stage = run(images, "relabel.margin=0")
    assert found.pairs == 2  # two objects of one class are one pair; the rotten picture's is left out
    assert stage.done == 3
    assert found.cor_loc == 1
    assert 0.75 < found.iou < 1  # the map's edge is soft: the box is a little smaller than the quarter
    assert found.whole_image_iou == pytest.approx((0.25 + 1) / 2)
    assert found.covered == pytest.approx(found.iou)  # without a margin, of boxes inside their objects


def test_the_margin_widens_the_crop_and_not_the_box(images):
    tight, wide = run(images, "relabel.margin=0")[0], run(images, "relabel.margin=0.25")[0]
    assert wide.iou == tight.iou
    assert wide.crop_area > tight.crop_area + 0.1


def test_by_hand():
    half, object_ = np.array([0, 0, 10, 5]), np.array([[0.0, 0.0, 5.0, 10.0]])
    iou, whole, covered, area = compare(half, np.array([0, 0, 10, 8]), object_, 10)
    assert (iou, whole, covered, area) == pytest.approx((25 / 75, 0.5, 0.8, 0.8))


def test_without_boxes_there_is_nothing_to_say(images):
    assert run(dataclasses.replace(images, boxes=None))[0] is None


def test_boxes_of_unreadable_images_alone_give_nothing(images):
    only = by_image(np.array([2]), np.array([1]), np.array([[0, 0, 9, 9]], dtype=np.float32), 3)
    assert run(dataclasses.replace(images, boxes=only))[0] is None
