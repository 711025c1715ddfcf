import shutil

import numpy as np
import pytest
from benchmark_trees import Thing, make_nus_recrawled, make_nus_release

from ccd_fast.datasets import load
from ccd_fast.datasets.nuswide import CLASS_NAMES
from ccd_fast.errors import UserError

BOX = (0, 0, 1, 1)
TRAIN = [[Thing("airport", BOX), Thing("zebra", BOX)], [], [Thing("sky", BOX)]]
TEST = [[Thing("cat", BOX)], []]


@pytest.fixture
def release(tmp_path):
    return make_nus_release(tmp_path / "NUS-WIDE", CLASS_NAMES, TRAIN, TEST)


@pytest.fixture
def recrawled(tmp_path):
    (tmp_path / "again").mkdir()
    return make_nus_recrawled(tmp_path / "again", CLASS_NAMES, TRAIN, TEST)


def positives(images):
    return [{images.class_names[c] for c in np.flatnonzero(row)} for row in images.truth]


def refused(root, split="train"):
    with pytest.raises(UserError) as caught:
        load("nus", root, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_release_is_read_with_its_backslashes_and_unlabelled_images(release):
    train, test = load("nus", release, "train"), load("nus", release, "test")
    assert train.paths[0] == "Flickr/zebra/0001_2124494180.jpg"
    assert positives(train) == [{"airport", "zebra"}, set(), {"sky"}]
    assert positives(test) == [{"cat"}, set()]
    assert all(file.is_file() for file in [*train.files_of_all(), *test.files_of_all()])
    assert train.known.all()
    assert train.boxes is None
    assert train.official == 161_789


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_the_recrawled_form_is_read_from_its_arrays(tmp_path, dtype):
    root = make_nus_recrawled(tmp_path, CLASS_NAMES, TRAIN, TEST, dtype)
    train, test = load("nus", root, "train"), load("nus", root, "test")
    assert train.paths[0] == "Flickr/0001_2124494180.jpg"
    assert positives(train) == [{"airport", "zebra"}, set(), {"sky"}]
    assert positives(test) == [{"cat"}, set()]
    assert all(file.is_file() for file in [*train.files_of_all(), *test.files_of_all()])
    assert train.official == 150_000


def test_there_are_81_concepts_and_prompts_for_all(release):
    train = load("nus", release, "train")
    assert len(train.class_names) == len(set(train.class_names)) == len(set(train.prompt_names)) == 81
    assert train.class_names == tuple(sorted(train.class_names))
    prompts = dict(zip(train.class_names, train.prompt_names, strict=True))
    assert prompts["plane"] == "airplane"
    assert prompts["cat"] == "cat"


def test_the_root_may_be_the_folder_above(release):
    assert len(load("nus", release.parent, "train")) == 3


def test_both_forms_in_one_folder_are_refused(release, recrawled):
    shutil.copy(recrawled / "formatted_train_images.npy", release)
    assert "both forms of NUS-WIDE" in refused(release)


def test_a_wrong_root_says_what_was_looked_for_and_where(tmp_path):
    said = refused(tmp_path)
    assert "no NUS-WIDE there: looked for ImageList" in said
    assert str(tmp_path / "nuswide") in said


@pytest.mark.parametrize(
    ("gone", "archive"),
    [
        ("ImageList", "ImageList.zip"),
        ("ImageList/TrainImagelist.txt", "ImageList.zip"),
        ("Groundtruth", "Groundtruth.zip"),
        ("Groundtruth/TrainTestLabels/Labels_zebra_Train.txt", "Groundtruth.zip"),
        ("Flickr", "Flickr.zip"),
    ],
)
def test_a_half_extracted_release_is_one_line(release, gone, archive):
    path = release / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    said = refused(release)
    assert f"{archive} is not extracted there, or only in part" in said
    assert gone in said


@pytest.mark.parametrize("gone", ["formatted_train_images.npy", "formatted_train_labels.npy", "Flickr"])
def test_a_recrawled_form_that_lacks_a_part_is_one_line(recrawled, gone):
    path = recrawled / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert gone in refused(recrawled)


def test_labels_without_lists_or_arrays_are_missed(release):
    shutil.rmtree(release / "ImageList")
    shutil.rmtree(release / "Groundtruth")
    assert "neither ImageList and Groundtruth nor formatted_train_images.npy" in refused(release)


def test_no_image_at_all_is_one_line_and_a_single_missing_one_keeps_its_row(release):
    (release / "Flickr" / "zebra" / "0001_2124494180.jpg").unlink()
    assert len(load("nus", release, "train")) == 3
    shutil.rmtree(release / "Flickr" / "zebra")
    shutil.rmtree(release / "Flickr" / "actor")
    assert "none of the 3 images" in refused(release)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0\n1\n", "2 lines, but TrainImagelist.txt names 3"),
        ("0\n1\n2\n", "a line of 0 or 1"),
        ("0\n10\n", "a line of 0 or 1"),
        ("0\n1\nx\n", "a line of 0 or 1"),
    ],
)
def test_label_files_that_make_no_sense_are_refused(release, text, said):
    (release / "Groundtruth" / "TrainTestLabels" / "Labels_map_Train.txt").write_text(text)
    assert said in refused(release)
    assert "Labels_map_Train.txt" in refused(release)


@pytest.mark.parametrize("path", ["..\\..\\x.jpg", "../x.jpg", "/etc/x.jpg", "C:\\Windows\\x.jpg", "\\\\server\\x.jpg"])
def test_paths_that_lead_out_are_refused(release, recrawled, path):
    (release / "ImageList" / "TrainImagelist.txt").write_text(f"actor\\a.jpg\n{path}\nactor\\b.jpg\n")
    assert "TrainImagelist.txt: entry 2:" in refused(release)
    np.save(recrawled / "formatted_train_images.npy", np.array(["a.jpg", path, "b.jpg"]))
    assert "must be a path inside the data set" in refused(recrawled)


class Hostile:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800])
def test_numbers_that_are_no_characters_are_one_line(recrawled, code):
    file = recrawled / "formatted_train_images.npy"
    names = np.load(file)
    names.view(np.uint32)[1] = code
    np.save(file, names)
    assert "no characters" in refused(recrawled)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.array([Hostile(), "b", "c"], dtype=object), "holds pickled Python objects"),
        (np.array([1, 2, 3]), "must hold N paths as strings"),
        (np.array([["a", "b"]]), "must hold N paths as strings"),
        (np.array([b"\xff.jpg", b"b", b"c"]), "not UTF-8"),
    ],
)
def test_arrays_of_anything_but_strings_are_refused(recrawled, images, said):
    np.save(recrawled / "formatted_train_images.npy", images, allow_pickle=True)
    assert said in refused(recrawled)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((2, 81)), "holds 2×81 of float64, but must hold 3×81 labels"),
        (np.zeros((3, 80)), "holds 3×80"),
        (np.full((3, 81), 0.5), "labels must be 0 or 1"),
        (np.full((3, 81), np.nan), "labels must be 0 or 1"),
        (np.full((3, 81), -1), "labels must be 0 or 1"),
        (np.full((3, 81), "1"), "must hold 3×81 labels as numbers"),
        (np.full((3, 81), None), "holds pickled Python objects"),
    ],
)
def test_label_matrices_that_make_no_sense_are_refused(recrawled, labels, said):
    np.save(recrawled / "formatted_train_labels.npy", labels, allow_pickle=True)
    assert said in refused(recrawled)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04rubbish", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_array_is_one_line(recrawled, content):
    (recrawled / "formatted_train_images.npy").write_bytes(content)
    assert "cannot be read as a numpy array" in refused(recrawled)


def test_an_array_that_is_cut_short_is_one_line(recrawled):
    file = recrawled / "formatted_train_labels.npy"
    file.write_bytes(file.read_bytes()[:-8])
    assert "cannot be read as a numpy array" in refused(recrawled)
