import dataclasses

import numpy as np
import pytest
import torch

from ccd_fast.datasets import load, object_boxes
from ccd_fast.datasets.boxes import by_image
from ccd_fast.datasets.object_boxes import ObjectBoxes
from ccd_fast.errors import UserError
from ccd_fast.labels.view_choice import Cams, ViewChoice, check, grid_boxes, random_boxes, snapped
from ccd_fast.recipes import config
from ccd_fast.views import Photographs

SIZES = np.array([[60, 90], [80, 40], [100, 100]])  # height, width


def recipe(*overrides):
    return config.load("folder", ["relabel.margin=0.125", "relabel.k=2", *overrides])


def sections(knobs):
    return knobs.views, knobs.relabel


def photographs(*rows):
    return Photographs(np.array(rows), SIZES[list(rows)], None, {})


def seen(rows, active):
    """The student's answer: in each active class a map with one hot corner, the class's own."""
    logits, cam = torch.full((rows, 4), -9.0), torch.zeros(rows, 4, 2, 2)
    for image, c in active:
        logits[image, c] = 9.0
        cam[image, c, c // 2, c % 2] = 1.0
    return logits, cam


def choose(*overrides, rows=(0, 1, 2), active=((0, 1), (2, 0), (2, 3)), epoch=2, objects=None):
    knobs = recipe(*overrides)
    check(*sections(knobs), objects)
    looks = ViewChoice(knobs.views, knobs.relabel, Cams(16, 0.5), (3, 4), (knobs.seed, epoch), objects)
    answer = seen(len(rows), active) if looks.asks_the_student else None
    owner, boxes = looks.boxes(photographs(*rows), answer)
    return owner.tolist(), boxes


def areas(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def test_cam_boxes_lie_at_the_hot_corner_of_each_active_class():
    owner, boxes = choose()
    assert owner == [0, 2, 2]
    sizes = SIZES[owner][:, ::-1]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / sizes
    assert (centres[0] > [0.5, 0]).all()  # class 1: top right
    assert centres[0, 1] < 0.5
    assert (centres[1] < 0.5).all()
    assert (centres[2] > 0.5).all()


def test_the_whole_of_each_photograph_can_be_one_of_the_crops():
    plain_owner, plain = choose()
    owner, boxes = choose("relabel.whole=true")
    assert owner == [0, 0, 1, 2, 2, 2]
    assert boxes[[1, 2, 5]].tolist() == [[0, 0, 90, 60], [0, 0, 40, 80], [0, 0, 100, 100]]
    assert boxes[[0, 3, 4]].tolist() == plain.tolist()
    assert [owner[k] for k in (0, 3, 4)] == plain_owner


def test_whole_is_each_photograph_once_whatever_the_student_says():
    owner, boxes = choose("views.choice=whole")
    assert owner == [0, 1, 2]
    assert boxes.tolist() == [[0, 0, 90, 60], [0, 0, 40, 80], [0, 0, 100, 100]]


def test_a_grid_covers_each_photograph_with_equal_cells():
    owner, boxes = choose("views.choice=grid", "views.grid=2")
    assert owner == [0] * 4 + [1] * 4 + [2] * 4
    assert boxes[:4].tolist() == [[0, 0, 45, 30], [45, 0, 90, 30], [0, 30, 45, 60], [45, 30, 90, 60]]
    assert len(choose("views.choice=grid")[0]) == 3 * 9
    np.testing.assert_allclose(np.prod(np.diff(grid_boxes(5).reshape(-1, 2, 2), axis=1), axis=2).sum(), 1)


def test_random_boxes_are_as_many_as_cams_give_on_average_and_no_smaller():
    owner, boxes = choose("views.choice=random", "views.per_class=3")
    assert owner == sorted([0, 1, 2] * 12)  # min(k + 2, classes) of them, times per_class
    assert (boxes[:, :2] >= 0).all()
    limits = SIZES[owner][:, ::-1]
    assert (boxes[:, 2:] <= limits).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 0.25 * limits).all()  # twice the margin
    assert len(np.unique(boxes[:12], axis=0)) == 12


def test_random_boxes_reach_everywhere_with_sides_from_the_smallest_to_the_whole():
    draws = np.random.default_rng(0).random((1, 20000, 4))
    boxes = random_boxes(draws, 0.25)[0]
    sides = boxes[:, 2:] - boxes[:, :2]
    assert sides.min() == pytest.approx(0.25, abs=0.001)
    assert sides.mean() == pytest.approx(0.625, abs=0.01)
    assert ((boxes[:, :2] + boxes[:, 2:]) / 2).mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.01)
    assert boxes.min() >= 0
    assert boxes.max() <= 1


@pytest.mark.parametrize(
    "overrides",
    [("views.choice=random",), ("views.jitter=0.2",), ("views.choice=near-ground-truth", "views.jitter=0.2")],
)
def test_what_is_random_is_keyed_by_seed_epoch_and_image_not_by_batches(overrides):
    objects = ObjectBoxes(np.array([0, 1, 2, 2]), np.array([[10.0, 10, 40, 40]] * 4))

    def drawn(*more, **options):
        return choose(*overrides, *more, objects=objects, active=[(n, 0) for n in range(3)], **options)[1]

    whole = drawn()
    np.testing.assert_array_equal(drawn(), whole)
    assert not np.array_equal(drawn(epoch=3), whole)
    assert not np.array_equal(drawn("seed=1"), whole)
    _, alone = choose(*overrides, objects=objects, rows=(1,), active=((0, 0),))
    per_image = 1 if overrides[-1] != "views.choice=random" else 4
    np.testing.assert_array_equal(alone, whole[per_image : 2 * per_image])


def test_ground_truth_is_each_object_s_own_box():
    objects = ObjectBoxes(np.array([0, 0, 2]), np.array([[3.0, 4, 50, 60], [7, 8, 9, 10], [0, 0, 120, 100]]))
    owner, boxes = choose("views.choice=ground-truth", objects=objects)
    assert owner == [0, 0, 2]
    assert boxes.tolist() == [[3, 4, 50, 60], [7, 8, 9, 10], [0, 0, 100, 100]]
    owner, boxes = choose("views.choice=ground-truth", objects=objects, rows=(2, 1))
    assert owner == [0]
    assert choose("views.choice=ground-truth", objects=objects, rows=(1,))[1].shape == (0, 4)


def test_near_ground_truth_moves_each_side_by_at_most_the_jitter():
    objects = ObjectBoxes(np.array([2]), np.array([[40.0, 30, 60, 70]]))
    both = ("views.choice=near-ground-truth", "views.jitter=0.25", "views.per_class=50")
    owner, boxes = choose(*both, objects=objects)
    assert owner == [2] * 50
    moved = np.abs(boxes - [40, 30, 60, 70])
    assert (moved <= np.array([5, 10, 5, 10]) + 1).all()  # outward to whole pixels
    assert (moved.max(axis=0) >= [4, 8, 4, 8]).all()
    assert len(np.unique(boxes, axis=0)) > 30


def test_per_class_repeats_each_cam_box_and_jitter_moves_each_side_in_shares_of_the_box():
    owner, exact = choose("views.per_class=40", active=((2, 3),))
    assert owner == [2] * 40
    assert len(np.unique(exact, axis=0)) == 1
    _, moved = choose("views.per_class=40", "views.jitter=0.1", active=((2, 3),))
    extent = np.tile(exact[0, 2:] - exact[0, :2], 2)
    assert (np.abs(moved - exact) <= 0.1 * extent + 1).all()
    assert (np.abs(moved - exact)[:, :2].max(axis=0) >= 0.07 * extent[:2]).all()
    assert (moved[:, 2:] <= 100).all()
    assert len(np.unique(moved, axis=0)) > 20


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["views.choice=ground-truth"], "needs boxes of the objects: give them with --boxes"),
        (["views.choice=near-ground-truth", "views.jitter=0.1"], "needs boxes of the objects"),
        (["views.choice=whole", "views.per_class=2"], "views.per_class must be 1"),
        (["views.choice=grid", "views.jitter=0.1"], "views.jitter must be 0"),
        (["views.choice=random", "views.jitter=0.1"], "views.jitter must be 0"),
    ],
)
def test_a_choice_that_would_not_heed_a_knob_or_lacks_boxes_is_refused(overrides, said):
    with pytest.raises(UserError, match=said):
        check(*sections(recipe(*overrides)), None)


def test_near_ground_truth_needs_to_know_how_near():
    objects = ObjectBoxes(np.array([0]), np.ones((1, 4)))
    with pytest.raises(UserError, match=r"needs views\.jitter above 0"):
        check(*sections(recipe("views.choice=near-ground-truth")), objects)


@pytest.fixture
def images(photo_folder):
    return load("folder", photo_folder, "train", photo_folder / "classes.txt", photo_folder / "labels.csv")


def test_boxes_are_read_for_the_images_of_the_split_in_their_order(images, tmp_path):
    lines = [f"{images.paths[5]},cat,1,2,3,4", "elsewhere.jpg,cat,0,0,1,1", f"{images.paths[0]},dog,0,0,9,9.5"]
    (tmp_path / "boxes.csv").write_text("path,class,x0,y0,x1,y1\n" + "\n".join(lines) + "\n")
    found = object_boxes.read(tmp_path / "boxes.csv", images)
    assert found.rows.tolist() == [0, 5]
    assert found.boxes.tolist() == [[0, 0, 9, 9.5], [1, 2, 3, 4]]


def test_boxes_of_the_data_set_stand_by_image(images):
    assert object_boxes.of(images) is None
    corners = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 9, 9.5]], dtype=np.float32)
    own = by_image(np.array([5, 5, 0]), np.array([0, 1, 0]), corners, len(images))
    found = object_boxes.of(dataclasses.replace(images, boxes=own))
    assert found.rows.tolist() == [0, 5, 5]
    assert found.boxes.tolist() == [[0, 0, 9, 9.5], [1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("path,class,x0,y0,x1\n", "no column 'y1'"),
        ("path,class,x0,y0,x1,y1\n{path},cat,1,2,x,4\n", "row 2: x1 is 'x', not a number"),
        ("path,class,x0,y0,x1,y1\n{path},cat,5,2,3,4\n", "row 2: x0 must be below x1"),
        ("path,class,x0,y0,x1,y1\n{path},cat,nan,2,3,4\n", "row 2: x0 is 'nan', not a number"),
        ("path,class,x0,y0,x1,y1\ngone.jpg,cat,1,2,3,4\n", "none of its paths is a train image"),
    ],
)
def test_a_file_of_boxes_that_makes_no_sense_is_refused(images, tmp_path, text, said):
    if text is not None:
        (tmp_path / "boxes.csv").write_text(text.format(path=images.paths[0]))
    with pytest.raises(UserError, match=said):
        object_boxes.read(tmp_path / "boxes.csv", images)


def test_boxes_grow_outward_to_the_grid_and_stay_inside_the_view():
    boxes = np.array([[0, 7, 8, 9], [3, 8, 17, 30]])
    assert snapped(boxes, 8, 30).tolist() == [[0, 0, 8, 16], [0, 8, 24, 30]]
    assert snapped(boxes, 0, 30) is boxes


def test_the_grid_reaches_the_boxes_at_the_cams():
    _, exact = choose()
    _, coarse = choose("relabel.cache_grid=8")
    assert (coarse[:, :2] <= exact[:, :2]).all()
    assert (coarse[:, 2:] >= exact[:, 2:]).all()
    in_view = coarse / np.tile(SIZES[[0, 2, 2]][:, ::-1], 2) * 16
    assert (np.abs(in_view / 8 - np.round(in_view / 8)) * 8 < 0.5).all()


def test_a_grid_that_would_not_be_heeded_is_refused():
    with pytest.raises(UserError, match=r"cache_grid must be 0 with views\.choice = .whole."):
        choose("relabel.cache_grid=8", "views.choice=whole")
