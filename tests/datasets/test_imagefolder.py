"""Folders as Hugging Face's datasets reads them: classes by folder or by metadata, and splits."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from ccd_fast.datasets import everything, load
from ccd_fast.errors import UserError


def put(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"p")


def folder(root, split="train", names=None, truth=None):
    classes = None
    if names is not None:
        classes = root / "classes.txt"
        classes.write_text("\n".join(names) + "\n")
    return load("imagefolder", root, split, classes, truth)


def labelled(images):
    rows = [row for row in range(len(images)) if images.known[row]]
    return {images.paths[row]: [images.class_names[c] for c in images.truth[row].nonzero()[0]] for row in rows}


def test_folders_are_classes_and_splits(tmp_path):
    put(tmp_path, "train/golden_retriever/1.jpg", "train/cat/2.png", "train/3.jpg", "validation/cat/4.jpg")
    put(tmp_path, "test/golden_retriever/5.jpg")
    train, test = folder(tmp_path), folder(tmp_path, "test")
    assert train.class_names == ("cat", "golden_retriever")
    assert train.prompt_names == ("cat", "golden retriever")
    assert train.paths == ("train/3.jpg", "train/cat/2.png", "train/golden_retriever/1.jpg")
    assert train.known.tolist() == [False, True, True]
    assert labelled(test) == {"test/golden_retriever/5.jpg": ["golden_retriever"]}
    assert len(everything("imagefolder", tmp_path, ("cat", "dog"))) == 5


def test_without_splits_the_labelled_images_serve_for_testing_too(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/2.jpg", "3.jpg")
    assert len(folder(tmp_path)) == 3
    assert labelled(folder(tmp_path, "test")) == {"cat/1.jpg": ["cat"], "dog/2.jpg": ["dog"]}


def test_class_names_may_be_given_and_blanks_are_underscores(tmp_path):
    put(tmp_path, "golden_retriever/1.jpg", "cat/2.jpg")
    images = folder(tmp_path, names=["cat | kitten", "golden retriever", "boat"])
    assert images.class_names == ("cat", "golden retriever", "boat")
    assert labelled(images) == {"golden_retriever/1.jpg": ["golden retriever"], "cat/2.jpg": ["cat"]}
    with pytest.raises(UserError, match=r"cat/2\.jpg: class 'cat' is not one of the classes; did you mean 'cats'"):
        folder(tmp_path, names=["cats", "golden retriever"])


ROWS = [
    {"file_name": "1.jpg", "labels": ["cat", "dog"], "text": "two"},
    {"file_name": "deep/2.jpg", "labels": []},
    {"file_name": "3.jpg"},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_go_before_folders(tmp_path, kind):
    put(tmp_path, "train/1.jpg", "train/deep/2.jpg", "train/3.jpg", "train/unnamed/4.jpg", "test/cat/5.jpg")
    file = tmp_path / "train" / f"metadata.{kind}"
    if kind == "csv":
        file.write_text("file_name,labels,label\n1.jpg,cat|dog,\ndeep/2.jpg,,\n")
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        columns = {"file_name": [r["file_name"] for r in ROWS], "labels": [r.get("labels") for r in ROWS]}
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
    images = folder(tmp_path)
    assert images.class_names == ("cat", "dog")
    assert labelled(images) == {"train/1.jpg": ["cat", "dog"], "train/deep/2.jpg": []}
    assert len(images) == 4
    assert folder(tmp_path, "test").truth is None  # a folder's name says nothing where there are metadata


def test_one_label_and_the_categories_of_objects_are_labels(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    rows = [
        {"file_name": "1.jpg", "label": 1},
        {"file_name": "2.jpg", "objects": {"bbox": [[0, 0, 1, 1]], "categories": [0, 1]}},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    images = folder(tmp_path, names=["cat", "dog"])
    assert labelled(images) == {"1.jpg": ["dog"], "2.jpg": ["cat", "dog"]}
    with pytest.raises(UserError, match="class number 1: say what it is called with --classes"):
        folder(tmp_path)


def test_an_image_that_only_the_metadata_name_keeps_its_row(tmp_path):
    put(tmp_path, "1.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.jpg,cat\ngone.jpg,dog\n")
    assert folder(tmp_path).paths == ("1.jpg", "gone.jpg")


def test_a_table_of_labels_replaces_the_folder_s_own(tmp_path):
    put(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg")
    (tmp_path / "labels.csv").write_text("path,labels\ntest/cat/3.jpg,cat|dog\n")
    images = folder(tmp_path, "test", truth=tmp_path / "labels.csv")
    assert labelled(images) == {"test/cat/3.jpg": ["cat", "dog"]}
    assert folder(tmp_path, truth=tmp_path / "labels.csv").truth is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metadata.csv", "file,label\n1.jpg,cat\n", "no column 'file_name'; it has file, label"),
        ("metadata.csv", "file_name,label\n../1.jpg,cat\n", r"row 2: '\.\./1\.jpg' must be a path inside"),
        ("metadata.csv", "file_name,label\n1.jpg,cat\n1.jpg,dog\n", "row 3: '1.jpg' stands twice"),
        ("metadata.csv", "file_name,label\n1.jpg,cat\n", "1 class is named"),
        ("metadata.csv", b"file_name\n\xff\n", "not a text in UTF-8"),
        ("metadata.csv", "file_name,label\n1.jpg,c\x1bt\n", "holds characters that no class name has"),
        ("metadata.jsonl", '{"file_name": "1.jpg"}\n{"file_name"', "row 2: not as metadata have it"),
        ("metadata.jsonl", '{"label": "cat"}\n', "not as metadata have it: Object missing required field `file_name`"),
        ("metadata.jsonl", '{"file_name": "1.jpg", "labels": {}}\n', "not as metadata have it: Expected"),
        (
            "metadata.jsonl",
            '{"file_name": "1.jpg", "labels": ["a|b", "c"]}\n',
            "holds characters that no class name has",
        ),
        ("metadata.parquet", "rubbish", "not as metadata have it"),
    ],
)
def test_metadata_that_do_not_fit_are_one_line(tmp_path, name, text, said):
    put(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=said):
        folder(tmp_path)


def test_two_files_of_metadata_in_one_folder_are_refused(tmp_path):
    put(tmp_path, "1.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.jpg,cat\n")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "1.jpg", "label": "dog"}\n')
    with pytest.raises(UserError, match=r"both metadata\.csv and metadata\.jsonl are there"):
        folder(tmp_path)


def test_nothing_to_name_the_classes_by_is_said(tmp_path):
    put(tmp_path, "train/1.jpg", "2.jpg")
    with pytest.raises(UserError, match="no class is named by its folders or metadata, and two are needed"):
        folder(tmp_path)
    assert folder(tmp_path, names=["cat", "dog"]).truth is None
