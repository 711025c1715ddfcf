import shutil

import numpy as np
import pytest
from benchmark_trees import Thing, make_voc

from ccd_fast.datasets import load
from ccd_fast.errors import UserError

PHOTOS = [
    [Thing("cat", (0, 1, 20, 30)), Thing("tvmonitor", (5, 5, 80, 64)), Thing("cat", (40, 0, 60, 10))],
    [Thing("dog", (1, 2, 3, 4)), Thing("person", (10, 10, 20, 20), difficult=True)],
    [Thing("person", (0, 0, 9, 9), difficult=True), Thing("person", (20, 20, 40, 40))],
    [Thing("sofa", (0, 0, 80, 64), difficult=True)],
]
TEST = [[Thing("diningtable", (0, 0, 10, 10))], []]


@pytest.fixture
def devkit(tmp_path):
    return make_voc(tmp_path, 2012, PHOTOS, TEST)


def home(root):
    return root / "VOCdevkit" / "VOC2012"


def positives(images):
    return [{images.class_names[c] for c in np.flatnonzero(row)} for row in images.truth]


def refused(root, split="train", dataset="voc12"):
    with pytest.raises(UserError) as caught:
        load(dataset, root, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_difficult_objects_do_not_make_their_class_positive(devkit):
    train = load("voc12", devkit, "train")
    assert train.paths == tuple(f"JPEGImages/2008_00000{n}.jpg" for n in (1, 2, 3, 4))
    assert positives(train) == [{"cat", "tvmonitor"}, {"dog"}, {"person"}, set()]
    assert train.known.all()
    assert all(file.is_file() for file in train.files_of_all())
    assert positives(load("voc12", devkit, "test")) == [{"diningtable"}, set()]


def test_boxes_are_half_open_and_only_those_of_positives(devkit):
    boxes = load("voc12", devkit, "train").boxes
    assert len(boxes) == 5
    classes, corners = boxes.of(0)
    assert classes.tolist() == [7, 19, 7]
    assert corners.tolist() == [[0, 1, 20, 30], [5, 5, 80, 64], [40, 0, 60, 10]]
    assert boxes.of(2)[1].tolist() == [[20, 20, 40, 40]]
    assert len(boxes.of(3)[0]) == 0


def test_prompts_spell_the_names_out(devkit):
    names = load("voc12", devkit, "train")
    assert len(names.class_names) == len(names.prompt_names) == 20
    different = {a: b for a, b in zip(names.class_names, names.prompt_names, strict=True) if a != b}
    assert different == {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}


def test_2007_trains_on_trainval_and_tests_on_test(tmp_path):
    root = make_voc(tmp_path, 2007, PHOTOS, TEST)
    assert load("voc07", root, "train").paths[0] == "JPEGImages/000001.jpg"
    assert load("voc07", root, "test").paths == ("JPEGImages/000005.jpg", "JPEGImages/000006.jpg")


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_root_may_be_given_at_any_of_its_levels(devkit, below):
    assert len(load("voc12", devkit / below, "train")) == 4


def test_two_trees_below_one_root_are_refused(devkit):
    shutil.copytree(home(devkit), devkit / "VOC2012")
    assert "more than once" in refused(devkit)


def test_a_wrong_root_says_what_was_looked_for_and_where(tmp_path):
    said = refused(tmp_path)
    assert "no VOC2012 there: looked for ImageSets/Main" in said
    assert str(tmp_path / "VOCdevkit" / "VOC2012") in said


def test_another_year_is_noticed(tmp_path):
    root = make_voc(tmp_path, 2007, PHOTOS, TEST)
    (root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "trainval.txt").rename(
        root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "train.txt"
    )
    assert "'000001' is not the name of a VOC 2012 image" in refused(root / "VOCdevkit" / "VOC2007")


@pytest.mark.parametrize("gone", ["JPEGImages", "Annotations", "ImageSets/Main/train.txt", "ImageSets"])
def test_a_half_extracted_archive_is_one_line(devkit, gone):
    path = home(devkit) / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    said = refused(devkit)
    assert "VOCtrainval_11-May-2012.tar is not extracted there, or only in part" in said
    assert gone in said


def test_no_image_at_all_is_one_line_and_a_single_missing_one_keeps_its_row(devkit):
    (home(devkit) / "JPEGImages" / "2008_000002.jpg").unlink()
    assert len(load("voc12", devkit, "train")) == 4
    for file in (home(devkit) / "JPEGImages").iterdir():
        file.unlink()
    assert "none of the 4 images" in refused(devkit)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<name>dog</name>", "<name>dgo</name>", "object 1: unknown class 'dgo'; did you mean 'dog'"),
        ("</annotation>\n", "<", "broken XML: "),
        ("annotation>", "picture>", "the outermost element is <picture>"),
        ("<xmin>2</xmin>", "<xmin>two</xmin>", "<xmin> is 'two', not a number"),
        ("<xmin>2</xmin>", "<xmin>nan</xmin>", "<xmin> is nan, not within"),
        ("<xmin>2</xmin>", "<xmin>-9</xmin>", "<xmin> is -9, not within"),
        ("<xmax>3</xmax>", "<xmax>1e9</xmax>", "<xmax> is 1e9, not within"),
        ("<xmin>2</xmin>", "<xmin>9</xmin>", "turned inside out"),
        ("<difficult>0<", "<difficult>maybe<", "<difficult> is 'maybe'"),
        ("bndbox", "box", "no <bndbox>"),
    ],
)
def test_annotations_that_make_no_sense_are_refused_with_the_file(devkit, old, new, said):
    file = home(devkit) / "Annotations" / "2008_000002.xml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    assert said in refused(devkit)
    assert str(file) in refused(devkit)


BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_never_expanded_whatever_the_encoding(devkit, encoding):
    file = home(devkit) / "Annotations" / "2008_000002.xml"
    hostile = BOMB + file.read_text().replace("<name>dog</name>", "<name>&y;</name>")
    file.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{hostile}'.encode(encoding))
    assert "it declares a document type" in refused(devkit)


def test_an_annotation_that_is_far_too_long_is_not_parsed(devkit):
    (home(devkit) / "Annotations" / "2008_000002.xml").write_text("<annotation>" + " " * (1 << 20) + "</annotation>")
    assert "an annotation has 1048576 at most" in refused(devkit)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "2008_000001/../x"])
def test_a_list_cannot_name_a_file_outside_the_tree(devkit, name):
    (home(devkit) / "ImageSets" / "Main" / "train.txt").write_text(f"2008_000001\n{name}\n")
    assert "entry 2:" in refused(devkit)
    assert "is not the name of a VOC 2012 image" in refused(devkit)


def test_an_annotation_that_is_missing_is_one_line(devkit):
    (home(devkit) / "Annotations" / "2008_000003.xml").unlink()
    assert "2008_000003.xml: missing" in refused(devkit)
