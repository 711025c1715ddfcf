from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ccd_fast.datasets import load
from ccd_fast.errors import UserError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", ".hidden/d.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    return tmp_path


def folder(root: Path, split: str = "train", truth: str | None = None):
    file = None
    if truth is not None:
        file = root / "labels.csv"
        file.write_text(truth)
    return load("folder", root, split, root / "classes.txt", file)


def test_images_are_found_at_any_depth_in_a_fixed_order(tree):
    images = folder(tree)
    assert images.paths == ("a.PNG", "b.jpg", "deep/er/c.webp")
    assert images.class_names == ("cat", "dog")
    assert images.truth is None
    assert len(folder(tree, "test")) == 0


def test_a_split_column_holds_the_test_rows_out(tree):
    truth = "path,split,labels\na.PNG,train,cat|dog\nb.jpg,test,dog\n"
    train, test = folder(tree, "train", truth), folder(tree, "test", truth)
    assert train.paths == ("a.PNG", "deep/er/c.webp")
    np.testing.assert_array_equal(train.truth, [[True, True], [False, False]])
    np.testing.assert_array_equal(train.known, [True, False])
    assert test.paths == ("b.jpg",)
    np.testing.assert_array_equal(test.truth, [[False, True]])


def test_val_rows_are_held_out_where_there_is_no_test(tree):
    truth = "path,split,labels\na.PNG,train,cat\nb.jpg,val,dog\n"
    assert folder(tree, "test", truth).paths == ("b.jpg",)


def test_without_a_split_column_the_labelled_images_serve_for_both(tree):
    truth = "path,labels\na.PNG,cat\n"
    assert len(folder(tree, "train", truth)) == 3
    assert folder(tree, "test", truth).paths == ("a.PNG",)


def test_an_image_that_only_the_labels_name_keeps_its_row(tree):
    truth = "path,split,labels\na.PNG,train,cat\ngone.jpg,train,dog\n"
    assert "gone.jpg" in folder(tree, "train", truth).paths


def test_labels_may_be_parquet(tree):
    file = tree / "labels.parquet"
    table = pyarrow.table({"path": ["a.PNG"], "split": ["test"], "labels": ["cat"]})
    pyarrow.parquet.write_table(table, file)
    assert load("folder", tree, "test", tree / "classes.txt", file).paths == ("a.PNG",)


def test_a_class_may_have_several_names_and_labels_know_it_by_the_first(tree):
    (tree / "classes.txt").write_text("person|man |  woman\ndog\n")
    images = folder(tree, "train", "path,labels\na.PNG,person|dog\n")
    assert images.class_names == ("person", "dog")
    assert images.prompt_names == ("person | man | woman", "dog")
    np.testing.assert_array_equal(images.truth[0], [True, True])
    with pytest.raises(UserError, match="class 'man' is not one of the classes"):
        folder(tree, "train", "path,labels\na.PNG,man\n")


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ("path,labels\na.PNG,cta\n", "'cta' is not one of the classes; did you mean 'cat'"),
        ("path,labels\n../a.PNG,cat\n", "inside --data-root"),
        ("path,labels\n/etc/a.PNG,cat\n", "inside --data-root"),
        ("path,labels\na.PNG,cat\na.PNG,dog\n", "row 3: 'a.PNG' stands twice"),
        ("path,split,labels\na.PNG,tset,cat\n", "split 'tset' must be one of train, val, test"),
        ("file,labels\na.PNG,cat\n", "no column 'path'"),
        ("path,labels\n", "no rows"),
        ("path,labels\nelsewhere/x.jpg,cat\n", "none of its paths is in"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_the_row(tree, truth, said):
    with pytest.raises(UserError) as caught:
        folder(tree, "train", truth)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("cat\n", "one class only"),
        ("cat\ndog\nCat\n", "'Cat' stands twice, in lines 1 and 3"),
        ("cat||kitten\nbird\n", "line 1: a name is missing beside a bar: 'cat||kitten'"),
        ("cat\nbird|\n", "line 2: a name is missing beside a bar"),
        ("cat | kitten\ndog | Kitten\n", "'Kitten' stands twice, in lines 1 and 2"),
        ("cat | kitten\n", "one class only"),
    ],
)
def test_class_files_that_make_no_sense_are_refused(tree, classes, said):
    (tree / "classes.txt").write_text(classes)
    with pytest.raises(UserError) as caught:
        folder(tree)
    assert said in str(caught.value)


def test_remarks_in_a_class_file_are_no_classes(tree):
    (tree / "classes.txt").write_text("# what I look for\ncat\n#sunset\n")
    assert folder(tree).class_names == ("cat", "#sunset")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match="no images in it"):
        folder(tmp_path)


def test_an_unknown_data_set_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'folder'"):
        load("foldr", tmp_path, "train")


BOXES = "path,class,x0,y0,x1,y1\nb.jpg,dog,1,2,30,40.5\na.PNG,cat,0,0,9,9\nb.jpg,cat,5,5,6,6\n"
TRUTH = "path,split,labels\na.PNG,train,cat\nb.jpg,test,cat|dog\n"


def test_boxes_beside_the_labels_are_read_for_the_split_they_belong_to(tree):
    assert folder(tree, "train", TRUTH).boxes is None
    (tree / "boxes.csv").write_text(BOXES)
    test = folder(tree, "test", TRUTH).boxes
    assert [part.tolist() for part in test.of(0)] == [[1, 0], [[1, 2, 30, 40.5], [5, 5, 6, 6]]]
    train = folder(tree, "train", TRUTH).boxes
    assert train.offsets.tolist() == [0, 1, 1]
    assert train.of(0)[1].tolist() == [[0, 0, 9, 9]]


def test_boxes_are_sorted_by_image_and_keep_their_order_within_one(tree):
    (tree / "boxes.csv").write_text(BOXES)
    both = folder(tree, "test", "path,labels\na.PNG,cat\nb.jpg,cat|dog\n").boxes
    assert both.offsets.tolist() == [0, 1, 3]
    assert [both.of(row)[0].tolist() for row in (0, 1)] == [[0], [1, 0]]


def test_boxes_without_labels_are_not_looked_for(tree):
    (tree / "boxes.csv").write_text("rubbish")
    assert folder(tree).boxes is None


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ("", "no column 'path'; it has none"),
        ("path,x,y\na.PNG,1,2\n", "no column 'class'"),
        (BOXES.replace("dog", "dgo"), "row 2: class 'dgo' is not in the class file; did you mean 'dog'"),
        (BOXES.replace("40.5", "forty"), "row 2: y1 is 'forty', not a number"),
        (BOXES.replace("40.5", "nan"), "row 2: y1 is 'nan', not a number"),
        (BOXES.replace("40.5", "-4"), "row 2: no such box"),
        (BOXES.replace("1,2,30", "99,2,30"), "row 2: no such box"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(tree, boxes, said):
    (tree / "boxes.csv").write_text(boxes)
    with pytest.raises(UserError) as caught:
        folder(tree, "test", TRUTH)
    assert said in str(caught.value)


@pytest.mark.parametrize("dataset", ["voc07", "voc12", "coco", "coco2017", "nus"])
def test_data_sets_with_classes_and_labels_of_their_own_take_no_others(tree, dataset):
    for option in ("truth",) if dataset.startswith("coco") else ("classes", "truth"):
        with pytest.raises(UserError, match=f"--{option} .* has its own"):
            load(dataset, tree, "train", **{option: tree / "classes.txt"})
