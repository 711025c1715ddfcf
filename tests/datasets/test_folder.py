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
    with pytest.raises(UserError, match="class 'man' is not in the class file"):
        folder(tree, "train", "path,labels\na.PNG,man\n")


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ("path,labels\na.PNG,cta\n", "'cta' is not in the class file; did you mean 'cat'"),
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


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match="no images in it"):
        folder(tmp_path)


def test_an_unknown_data_set_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'folder'"):
        load("foldr", tmp_path, "train")
