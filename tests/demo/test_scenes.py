"""What the demo world promises: the same seed the same world, honest labels, a long tail."""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ccd_fast.demo.clutter import CLUTTER
from ccd_fast.demo.objects import OBJECT_KINDS
from ccd_fast.demo.painting import Mark, lay, sprite
from ccd_fast.demo.scenes import CLASS_NAMES, draw_scene, draw_single, write_world
from ccd_fast.demo.shapes import ellipse, rectangle
from ccd_fast.demo.staging import VISIBLE_SHARE, Piece, Stage, boxes, place
from ccd_fast.demo.themes import SHARES, THEMES, WELCOME

LIGHT = (-0.6, -0.8)
SEED = 3
TRAIN, TEST = 30, 8


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "world"
    write_world(root, seed=SEED, train=TRAIN, test=TEST, workers=1)
    return root


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(11, "train", index) for index in range(50)]


def test_there_are_twenty_classes_with_different_names():
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) == 20


def test_a_scene_depends_on_seed_split_and_index_alone():
    first = draw_scene(5, "train", 7)
    draw_scene(5, "train", 8)
    again = draw_scene(5, "train", 7)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.objects == again.objects


@pytest.mark.parametrize("other", [(6, "train", 7), (5, "test", 7), (5, "train", 8)])
def test_another_seed_split_or_index_is_another_scene(other):
    first, second = draw_scene(5, "train", 7), draw_scene(*other)
    assert first.pixels.shape != second.pixels.shape or (first.pixels != second.pixels).any()


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split"):
        draw_scene(0, "validation", 0)


def test_a_scene_has_one_to_five_objects(scenes):
    counts = Counter(len(scene.objects) for scene in scenes)
    assert set(counts) == {1, 2, 3, 4, 5}


def test_pictures_are_200x150_to_640x480_in_both_orientations(scenes):
    sizes = {scene.pixels.shape[:2] for scene in scenes}
    assert all(150 <= min(size) <= 480 and 200 <= max(size) <= 640 for size in sizes)
    assert any(height > width for height, width in sizes)
    assert any(width > height for height, width in sizes)


def test_pictures_are_rgb_bytes_that_are_not_flat(scenes):
    for scene in scenes:
        assert scene.pixels.dtype == np.uint8
        assert scene.pixels.shape[2] == 3
        assert scene.pixels.std() > 10


def test_boxes_lie_inside_the_picture_and_are_not_empty(scenes):
    for scene in scenes:
        height, width = scene.pixels.shape[:2]
        for thing in scene.objects:
            x0, y0, x1, y1 = thing.box
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height


def test_objects_run_from_small_to_large(scenes):
    shares = [
        max(thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]) / min(scene.pixels.shape[:2])
        for scene in scenes
        for thing in scene.objects
    ]
    assert min(shares) < 0.2
    assert max(shares) > 0.55
    assert max(shares) < 0.85


def test_classes_of_a_scene_are_sorted_and_named_once(scenes):
    for scene in scenes:
        assert list(scene.class_indices) == sorted({thing.class_index for thing in scene.objects})


def test_every_class_is_welcome_somewhere_and_the_tail_is_long():
    expected = SHARES @ WELCOME
    assert expected.min() > 0
    assert 6 < expected.max() / expected.min() < 25


def test_classes_keep_company_by_theme():
    meetings = Counter()
    for index in range(90):
        meetings.update(combinations(draw_scene_names(index), 2))
    assert meetings["car", "house"] + meetings["house", "tree"] >= 6
    assert meetings["cactus", "snowman"] == 0


def draw_scene_names(index):
    return sorted(CLASS_NAMES[i] for i in draw_scene(2, "train", index).class_indices)


def test_themes_name_only_classes_and_clutter_that_exist():
    for theme in THEMES:
        assert set(theme.guests) <= set(CLASS_NAMES)
        assert set(theme.clutter) <= set(CLUTTER)


@pytest.mark.parametrize("kind", OBJECT_KINDS, ids=lambda kind: kind.name)
def test_an_object_fills_its_size_and_never_looks_the_same_twice(kind):
    first, second = (sprite(kind.draw(np.random.default_rng(seed)), 100, LIGHT) for seed in (0, 1))
    solid = np.asarray(first.getchannel("A")) > 127
    extent = max(np.ptp(np.flatnonzero(solid.any(axis))) + 1 for axis in (0, 1))
    assert 90 <= extent <= 104
    assert first.size != second.size or first.tobytes() != second.tobytes()


@pytest.mark.parametrize("kind", OBJECT_KINDS, ids=lambda kind: kind.name)
def test_a_single_object_covers_much_of_its_picture(kind):
    index = CLASS_NAMES.index(kind.name)
    picture = draw_single(np.random.default_rng(4), index, 64)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, draw_single(np.random.default_rng(4), index, 64))


def test_the_same_chances_give_another_picture_for_another_class():
    pictures = [draw_single(np.random.default_rng(4), index, 48).tobytes() for index in range(len(CLASS_NAMES))]
    assert len(set(pictures)) == len(CLASS_NAMES)


def test_half_a_turn_stands_a_sprite_on_its_head():
    drawing = [Mark(ellipse(0, 0, 2, 1), (200, 10, 10), "flat"), Mark(ellipse(-1, 0.1, 0.6), (10, 10, 200), "flat")]
    upright, over = (np.asarray(sprite(drawing, 60, LIGHT, turn), np.float64) for turn in (0, 180))
    assert upright.shape == over.shape
    assert np.abs(upright - over[::-1, ::-1]).mean() < 3
    assert np.abs(upright - over).mean() > 15


def test_a_mirrored_sprite_looks_the_other_way():
    drawing = [Mark(rectangle(0, 0, 2, 1), (200, 10, 10), "flat"), Mark(rectangle(0, 0, 1, 1), (10, 10, 200), "flat")]
    plain, mirrored = (np.asarray(sprite(drawing, 40, LIGHT, mirror=mirror)) for mirror in (False, True))
    assert plain[10, 5, 2] > plain[10, 5, 0]
    assert mirrored[10, 5, 2] < mirrored[10, 5, 0]


@pytest.mark.parametrize("shade", ["flat", "side"])
def test_edges_are_smooth_and_of_the_colour_of_the_object(shade):
    picture = np.asarray(sprite([Mark(ellipse(0, 0, 1), (200, 20, 20), shade, 0.0)], 40, LIGHT), np.float64)
    alpha = picture[..., 3]
    edge = (alpha > 20) & (alpha < 235)
    assert edge.sum() > 40
    assert np.abs(picture[edge][:, :3] - (200, 20, 20)).max() < 16


def test_light_falls_from_the_side_it_comes_from():
    canvas = Image.new("RGB", (40, 40))
    lay(canvas, [Mark(rectangle(0, 0, 1, 1), (120, 120, 120), "side", 0.5)], 40, (1.0, 0.0))
    brightness = np.asarray(canvas, np.float64).mean((0, 2))
    assert brightness[-2] > brightness[1] + 50


def block(width, height, class_index, x, base):
    return Piece(Image.new("RGBA", (width, height), (9, 9, 9, 255)), class_index, x, base, False)


def empty_stage(width=100, height=80):
    return Stage(Image.new("RGB", (width, height)), LIGHT, np.full((height, width), -1, np.int8))


def test_a_box_encloses_just_what_is_in_sight():
    stage = empty_stage()
    rng = np.random.default_rng(0)
    assert place(rng, stage, block(40, 20, 3, 0.5, 0.5))
    assert boxes(stage) == [(3, (30, 20, 70, 40))]
    assert place(rng, stage, block(20, 20, None, 0.4, 0.5))
    assert boxes(stage) == [(3, (50, 20, 70, 40))]


def test_what_would_hide_another_too_far_goes_elsewhere_or_nowhere():
    stage = empty_stage()
    rng = np.random.default_rng(0)
    assert place(rng, stage, block(30, 30, 1, 0.5, 0.6))
    assert not place(rng, stage, block(100, 80, 2, 0.5, 1.0))
    assert place(rng, stage, block(30, 30, 2, 0.5, 0.6))
    assert (stage.seen >= VISIBLE_SHARE * np.asarray(stage.areas)).all()
    assert [class_index for class_index, _ in boxes(stage)] == [1, 2]


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.integers(3, 60), st.integers(3, 60), st.floats(0, 1), st.floats(0, 1.1)), min_size=1, max_size=8
    )
)
def test_however_pieces_fall_all_reported_ones_stay_in_sight(pieces):
    stage = empty_stage()
    rng = np.random.default_rng(1)
    for width, height, x, base in pieces:
        place(rng, stage, block(width, height, 0, x, base))
    seen = [int((stage.owner == index).sum()) for index in range(len(stage.areas))]
    assert seen == stage.seen.tolist()
    assert all(count >= VISIBLE_SHARE * area for count, area in zip(seen, stage.areas, strict=True))
    assert len(boxes(stage)) == len(stage.areas)


def test_the_world_has_the_files_it_promises(world):
    names = sorted(path.relative_to(world).as_posix() for path in world.rglob("*") if path.is_file())
    pictures = [f"images/test/{i:05d}.jpg" for i in range(TEST)] + [f"images/train/{i:05d}.jpg" for i in range(TRAIN)]
    assert names == sorted([*pictures, "boxes.csv", "classes.txt", "labels.csv", "world.json"])
    assert list(world.parent.iterdir()) == [world]


def test_the_tables_name_every_picture_in_order(world):
    rows = table(world / "labels.csv")
    assert [row["split"] for row in rows] == ["train"] * TRAIN + ["test"] * TEST
    assert [row["path"] for row in rows[:2]] == ["images/train/00000.jpg", "images/train/00001.jpg"]
    assert (world / "classes.txt").read_text(encoding="utf-8").split() == list(CLASS_NAMES)


def test_labels_agree_with_boxes_and_boxes_with_pictures(world):
    found = {}
    for row in table(world / "boxes.csv"):
        found.setdefault(row["path"], set()).add(row["class"])
        with Image.open(world / row["path"]) as picture:
            assert 0 <= int(row["x0"]) < int(row["x1"]) <= picture.width
            assert 0 <= int(row["y0"]) < int(row["y1"]) <= picture.height
    assert found == {row["path"]: set(row["labels"].split("|")) for row in table(world / "labels.csv")}


def test_the_pictures_on_disk_are_the_scenes_that_can_be_drawn(world):
    scene = draw_scene(SEED, "test", 2)
    with Image.open(world / "images/test/00002.jpg") as picture:
        assert picture.format == "JPEG"
        difference = np.asarray(picture, np.float64) - scene.pixels
    assert np.abs(difference).mean() < 6
    row = table(world / "labels.csv")[TRAIN + 2]
    assert row["labels"] == "|".join(CLASS_NAMES[index] for index in scene.class_indices)


def test_the_world_says_how_it_was_made(world):
    facts = json.loads((world / "world.json").read_text(encoding="utf-8"))
    assert facts["seed"] == SEED
    assert (facts["train"], facts["test"]) == (TRAIN, TEST)
    assert facts["world_version"] >= 1
    assert facts["numpy"] == np.__version__


def test_the_number_of_workers_does_not_change_a_byte(world, tmp_path):
    progress = []
    write_world(tmp_path / "other", seed=SEED, train=TRAIN, test=TEST, workers=2, on_progress=progress.append)
    for path in world.rglob("*"):
        if path.is_file():
            assert (tmp_path / "other" / path.relative_to(world)).read_bytes() == path.read_bytes(), path.name
    assert progress == sorted(progress)
    assert progress[-1] == TRAIN + TEST


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        write_world(tmp_path, train=1, test=1, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_world_broken_off_leaves_nothing_behind(tmp_path):
    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_world(Path(tmp_path) / "world", train=2, test=1, workers=1, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_become_the_world(tmp_path):
    write_world(tmp_path / "world", train=1, test=0, workers=1)
    (tmp_path / "empty").mkdir()
    write_world(tmp_path / "empty", train=1, test=0, workers=1)
    assert (tmp_path / "empty" / "labels.csv").read_bytes() == (tmp_path / "world" / "labels.csv").read_bytes()
