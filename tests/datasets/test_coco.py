import json
import shutil

import numpy as np
import pytest
from benchmark_trees import Thing, make_coco

from ccd_fast.datasets import load
from ccd_fast.datasets.coco import CLASS_NAMES
from ccd_fast.errors import UserError

CATEGORIES = {"toothbrush": 90, "person": 1, "potted plant": 64}
TRAIN = [
    [Thing("person", (0, 1, 20, 30)), Thing("toothbrush", (5, 5, 80, 64))],
    [],
    [Thing("potted plant", (1, 2, 3, 4)), Thing("potted plant", (10, 10, 20, 20))],
]
TEST = [[], [Thing("person", (0, 0, 10, 10))]]


@pytest.fixture
def root(tmp_path):
    return make_coco(tmp_path / "coco", 2014, CATEGORIES, TRAIN, TEST)


@pytest.fixture
def edit(root):
    """Change the training annotations."""

    def change(work):
        file = root / "annotations" / "instances_train2014.json"
        content = json.loads(file.read_text())
        work(content)
        file.write_text(json.dumps(content))

    return change


def refused(root, dataset="coco"):
    with pytest.raises(UserError) as caught:
        load(dataset, root, "train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_only_images_with_a_label_count(root):
    train, test = load("coco", root, "train"), load("coco", root, "test")
    assert train.paths == ("train2014/COCO_train2014_000000000001.jpg", "train2014/COCO_train2014_000000000003.jpg")
    assert test.paths == ("val2014/COCO_val2014_000000000005.jpg",)
    assert [np.flatnonzero(row).tolist() for row in train.truth] == [[0, 79], [58]]
    assert len(train.class_names) == 80
    assert train.known.all()


def test_boxes_follow_their_images(root):
    boxes = load("coco", root, "train").boxes
    assert boxes.offsets.tolist() == [0, 2, 4]
    assert boxes.of(0)[0].tolist() == [0, 79]
    assert boxes.of(0)[1].tolist() == [[0, 1, 20, 30], [5, 5, 80, 64]]
    assert boxes.of(1)[1].tolist() == [[1, 2, 3, 4], [10, 10, 20, 20]]


def test_a_crowd_makes_its_class_positive(root, edit):
    edit(lambda c: c["annotations"][0].update(iscrowd=1, segmentation={"counts": [0, 9], "size": [64, 80]}))
    assert load("coco", root, "train").truth[0, 0]


def test_the_names_of_2017_work_the_same_way(tmp_path):
    root = make_coco(tmp_path, 2017, CATEGORIES, TRAIN, TEST)
    assert load("coco2017", root, "train").paths == ("train2017/000000000001.jpg", "train2017/000000000003.jpg")


def test_both_years_may_stand_side_by_side(root):
    make_coco(root / "new", 2017, CATEGORIES, TRAIN, TEST)
    for path in (root / "new").rglob("*.json"):
        path.rename(root / "annotations" / path.name)
    (root / "new" / "train2017").rename(root / "train2017")
    assert load("coco", root, "train").paths[0].startswith("train2014/")
    assert load("coco2017", root, "train").paths[0].startswith("train2017/")


def test_the_root_may_be_the_folder_above_and_images_may_have_a_folder_of_their_own(root):
    assert len(load("coco", root.parent, "train")) == 2
    (root / "images").mkdir()
    (root / "train2014").rename(root / "images" / "train2014")
    assert load("coco", root, "train").paths[0].startswith("images/train2014/")


def test_images_in_two_places_are_refused(root):
    shutil.copytree(root / "train2014", root / "images" / "train2014")
    assert "both train2014 and images/train2014" in refused(root)


def test_a_wrong_root_says_what_was_looked_for_and_where(tmp_path, root):
    (tmp_path / "empty").mkdir()
    assert "looked for annotations/instances_train2014.json" in refused(tmp_path / "empty")
    assert "no COCO 2017 there" in refused(root, "coco2017")


@pytest.mark.parametrize(
    ("gone", "archive"),
    [
        ("annotations", "annotations_trainval2014.zip"),
        ("annotations/instances_train2014.json", "annotations_trainval2014.zip"),
        ("train2014", "train2014.zip"),
    ],
)
def test_a_half_extracted_archive_is_one_line(root, gone, archive):
    path = root / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert f"{archive} is not extracted there, or only in part" in refused(root)


def test_no_image_at_all_is_one_line_and_a_single_missing_one_keeps_its_row(root):
    next((root / "train2014").iterdir()).unlink()
    assert len(load("coco", root, "train")) == 2
    for file in (root / "train2014").iterdir():
        file.unlink()
    assert "none of the 2 images" in refused(root)


def put(*keys, value):
    def work(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return work


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda c: c.pop("annotations"), "missing required field `annotations`"),
        (put("annotations", value={}), "Expected `array`, got `object` - at `$.annotations`"),
        (put("annotations", value=[]), "none of its 3 images has a label"),
        (put("images", value=[]), "images: empty"),
        (put("images", 1, "id", value=1), "images: the id 1 stands twice"),
        (put("images", 1, "id", value=10**30), "$.images[1].id"),
        (put("images", 1, "file_name", value=7), "Expected `str`, got `int` - at `$.images[1].file_name`"),
        (put("images", 1, "file_name", value="../../x.jpg"), "images[1]: '../../x.jpg' must be a path inside"),
        (put("images", 1, "file_name", value="/etc/x.jpg"), "images[1]: '/etc/x.jpg' must be a path inside"),
        (put("images", 1, "file_name", value="C:\\x.jpg"), "must be a path inside"),
        (put("annotations", 1, "image_id", value=77), "annotations[1]: no image with the id 77"),
        (put("annotations", 1, "category_id", value=2), "annotations[1]: no category with the id 2"),
        (put("annotations", 1, "bbox", value=[1, 2, 3]), "$.annotations[1].bbox"),
        (put("annotations", 1, "bbox", value=[1, 2, -3, 4]), "annotations[1]: no such box"),
        (put("annotations", 1, "bbox", value=[1, 2, 3, 1e9]), "annotations[1]: no such box"),
        (put("categories", 0, "name", value="tothbrush"), "unknown class 'tothbrush'"),
        (put("categories", 0, "id", value=1), "categories: the id 1 stands twice"),
    ],
)
def test_annotations_that_make_no_sense_are_refused_with_the_place(root, edit, work, said):
    edit(work)
    assert said in refused(root)
    assert "instances_train2014.json" in refused(root)


DEEP = b"[" * 100_000


@pytest.mark.parametrize("text", [b"", b"[1, 2]", b'{"images": [', b'{"images": [\xff]}', b'{"images": NaN}', DEEP])
def test_broken_json_is_one_line(root, text):
    (root / "annotations" / "instances_train2014.json").write_bytes(text)
    said = refused(root)
    assert "broken JSON" in said or "not as COCO has it" in said


def test_a_name_in_another_encoding_is_one_line(root):
    (root / "annotations" / "instances_train2014.json").write_bytes(b'{"images": [{"id": 1, "file_name": "\xe9.jpg"}]}')
    assert "instances_train2014.json: a name in it is not UTF-8 (" in refused(root)


def test_the_shared_photographs_load_as_their_own_label_file_has_them(shared):
    root = shared / "data" / "coco592"
    for split, images in (("train", 400), ("test", 192)):
        coco = load("coco2017", root, split)
        own = load("folder", root, split, root / "classes.txt", root / "labels.csv")
        assert coco.class_names == own.class_names == CLASS_NAMES
        assert len(own) == images
        by_path = dict(zip(own.paths, own.truth, strict=True))
        for path, row in zip(coco.paths, coco.truth, strict=True):
            np.testing.assert_array_equal(row, by_path.pop(path))
        assert not any(row.any() for row in by_path.values())  # what is left has no label, and so does not count
