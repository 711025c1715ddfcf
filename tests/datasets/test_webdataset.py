"""WebDataset shards as a data set: images, labels and splits, and one line for what does not fit."""

import csv
import json
import sys
import tarfile

import pytest
from shard_maker import write_shard

from ccd_fast.cli import main
from ccd_fast.datasets import everything, load, photographs
from ccd_fast.datasets.webdataset import split_of
from ccd_fast.errors import UserError

NAMES = "cat\ndog\ntraffic light | semaphore\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "classes.txt").write_text(NAMES)
    return tmp_path


def shards(root, split="train", truth=None):
    return load("webdataset", root, split, root / "classes.txt", truth)


def labelled(images):
    """Give the names of the classes of each image of which anything is known."""
    rows = [row for row in range(len(images)) if images.known[row]]
    return {images.paths[row]: [images.class_names[c] for c in images.truth[row].nonzero()[0]] for row in rows}


def test_images_of_all_shards_are_paths_below_them_and_other_members_are_not(root):
    write_shard(root / "b" / "001.tar", {"x/2.PNG": b"p", "x/2.txt": "a cat", "._2.png": b"mac"})
    write_shard(root / "000.tar", {"9.jpg": b"p", "10.jpeg": b"p", "9.npy": b"n", "notes.md": "m"})
    write_shard(root / ".hidden" / "000.tar", {"9.jpg": b"p"})
    images = shards(root)
    assert images.paths == ("000.tar/10.jpeg", "000.tar/9.jpg", "b/001.tar/x/2.PNG")
    assert images.truth is None
    assert len(shards(root, "test")) == 0
    assert everything("webdataset", root, ("cat", "dog")).paths == images.paths


def test_numbers_names_and_lists_are_labels(root):
    texts = {
        **{"1.jpg": b"p", "1.cls": "1\n", "2.jpg": b"p", "2.json": json.dumps({"labels": ["cat", 2], "caption": "x"})},
        **{"3.jpg": b"p", "3.json": json.dumps({"label": "dog"}), "4.jpg": b"p", "4.json": json.dumps({"url": "x"})},
        **{"5.jpg": b"p", "5.cls": "traffic_light", "6.jpg": b"p", "6.json": json.dumps({"labels": []})},
        **{"2.txt": "a cat under a traffic light"},
    }
    write_shard(root / "0.tar", texts)
    images = shards(root)
    names = {"1": ["dog"], "2": ["cat", "traffic light"], "3": ["dog"], "5": ["traffic light"], "6": []}
    assert labelled(images) == {f"0.tar/{key}.jpg": found for key, found in names.items()}
    assert len(images) == 6
    assert shards(root, "test").paths == tuple(f"0.tar/{key}.jpg" for key in names)


def test_texts_are_labels_where_most_are_class_names(root):
    write_shard(root / "0.tar", {"1.jpg": b"p", "1.txt": "cat\ndog", "2.jpg": b"p", "2.txt": "traffic light|cat"})
    assert labelled(shards(root)) == {"0.tar/1.jpg": ["cat", "dog"], "0.tar/2.jpg": ["cat", "traffic light"]}
    write_shard(root / "1.tar", {"3.jpg": b"p", "3.txt": "doog"})
    with pytest.raises(UserError, match=r"1\.tar/3\.txt: class 'doog' is not one of the classes; did you mean 'dog'"):
        shards(root)


def test_texts_are_captions_where_most_are_none(root):
    write_shard(root / "0.tar", {"1.jpg": b"p", "1.txt": "dog", "2.jpg": b"p", "2.txt": "two dogs", "3.txt": b"\xff"})
    assert shards(root).truth is None


@pytest.mark.parametrize(
    ("shard", "split"),
    [
        ("train-000", "train"),
        ("photos/val/000", "val"),
        ("photos-Test-000", "test"),
        ("imagenet_validation_1", "val"),
        ("trainer-000", ""),
        ("latest-000", ""),
        ("train/test-000", "test"),
        ("000", ""),
    ],
)
def test_the_split_is_a_word_of_the_path(shard, split):
    assert split_of(shard) == split


def test_shards_of_a_split_are_held_out_labelled_or_not(root):
    for name in ("train-0", "val-0", "test-0"):
        write_shard(root / f"{name}.tar", {"1.jpg": b"p", "2.jpg": b"p", "1.cls": "0"})
    assert shards(root).paths == ("train-0.tar/1.jpg", "train-0.tar/2.jpg")
    test = shards(root, "test")
    assert test.paths == ("test-0.tar/1.jpg", "test-0.tar/2.jpg")
    assert test.known.tolist() == [True, False]
    (root / "test-0.tar").unlink()
    assert shards(root, "test").paths == ("val-0.tar/1.jpg", "val-0.tar/2.jpg")
    assert len(everything("webdataset", root, ("cat", "dog"))) == 4


def test_a_table_of_labels_replaces_those_in_the_shards_and_keeps_their_splits(root):
    for name in ("train-0", "test-0"):
        write_shard(root / f"{name}.tar", {"1.jpg": b"p", "2.jpg": b"p", "1.cls": "not read"})
    (root / "labels.csv").write_text("path,labels\ntest-0.tar/2.jpg,dog\n")
    assert shards(root, "train", root / "labels.csv").truth is None
    test = shards(root, "test", root / "labels.csv")
    assert labelled(test) == {"test-0.tar/2.jpg": ["dog"]}
    assert len(test) == 2
    (root / "labels.csv").write_text("path,labels\n2.jpg,dog\n")
    with pytest.raises(UserError, match="none of its paths is in"):
        shards(root, "train", root / "labels.csv")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"1.jpg": b"p", "1.cls": "3"}, r"0\.tar/1\.cls: class number 3: there are 3, counted from 0"),
        ({"1.jpg": b"p", "1.json": '{"label": -1}'}, r"0\.tar/1\.json: class number -1: there are 3"),
        ({"1.jpg": b"p", "1.cls": "-1"}, r"0\.tar/1\.cls: class '-1' is not one of the classes"),
        ({"1.jpg": b"p", "1.cls": b"\xff"}, r"0\.tar/1\.cls: not a text"),
        ({"1.jpg": b"p", "1.json": '{"labels": {"a": 1}}'}, r"0\.tar/1\.json: cannot be read as labels: Expected"),
        (
            {"1.jpg": b"p", "1.json": '{"labels": 0.5}'},
            r"1\.json: 0\.5 is neither the name of a class nor its number",
        ),
        ({"1.jpg": b"p", "1.json": '{"labels"'}, r"0\.tar/1\.json: cannot be read as labels: Input data was truncated"),
        ({"1.jpg": b"p", "1.json": "[" * 100_000}, r"0\.tar/1\.json: cannot be read as labels"),
        ({"1.jpg": b"p", "1.cls": "0" * (2**20 + 1)}, "a member of 1048577 bytes"),
        ({"1.txt": "cat"}, "no images in its shards"),
        ({"../1.jpg": b"p"}, r"0\.tar: member 1: '\.\./1\.jpg' must be a path inside"),
        ({"/etc/1.jpg": b"p"}, r"0\.tar: member 1: '/etc/1\.jpg' must be a path inside"),
    ],
)
def test_what_does_not_fit_is_one_line(root, members, said):
    write_shard(root / "0.tar", members)
    with pytest.raises(UserError, match=said):
        shards(root)


def test_no_shards_and_compressed_ones_are_told_apart(root):
    with pytest.raises(UserError, match=r"no shards in it \(\*\.tar\)$"):
        shards(root)
    with tarfile.open(root / "0.tar.gz", "w:gz"):
        pass
    with pytest.raises(UserError, match=r"0\.tar\.gz is compressed: unpack it"):
        shards(root)
    with pytest.raises(UserError, match="shards need --classes FILE"):
        load("webdataset", root, "train")


def test_a_shard_among_the_paths_means_its_images(root):
    shard = write_shard(root / "0.tar", {"b.jpg": b"p", "a.jpg": b"p", "a.cls": "0"})
    assert photographs(shard) == [shard / "a.jpg", shard / "b.jpg"]
    assert photographs(shard / "a.jpg") == [shard / "a.jpg"]
    with pytest.raises(UserError, match=r"for its shards name them, '.*/\*\.tar'"):
        photographs(root)
    for gone in (shard / "c.jpg", root / "gone.tar"):
        with pytest.raises(UserError, match="no such file"):
            photographs(gone)


@pytest.fixture
def ccd(monkeypatch, capfd, cache):
    """Run ``ccd-fast`` in this process; give its exit code, its output and its error output."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ccd-fast", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return call


def scores(file):
    """Give labels and scores by class of each photograph of a table, by its path in its shard, if it is in one."""
    rows = csv.DictReader(file.open(newline=""))
    return {(path := row.pop("path")).partition(".tar/")[2] or path: row for row in rows}


def test_the_method_on_shards_gives_the_labels_that_it_gives_on_files(photo_folder, tiny_clip, ccd, tmp_path):
    """Photographs in two shards, with one that cannot be read: trained on, labelled, predicted and verified."""
    truth = {row["path"]: row for row in csv.DictReader((photo_folder / "labels.csv").open())}
    for split in ("train", "test"):
        members = {}
        for path, row in truth.items():
            if row["split"] == split:
                members[path] = (photo_folder / path).read_bytes()
                members[f"{path.partition('.')[0]}.json"] = json.dumps({"labels": row["labels"].split("|")})
        write_shard(tmp_path / "shards" / f"{split}-0.tar", {**members, f"{split}-bad.jpg": b"rubbish"})
    small = ["student.image_size=64", "train.batch_size=8", "teacher.batch_size=8", "train.epochs=2"]
    knobs = [part for knob in (*small, "train.warmup_epochs=1", "relabel.min_tau=0") for part in ("--set", knob)]
    model = ["--teacher", tiny_clip, "--student", "test_resnet", "--student-weights", "none", *knobs]
    classes = ["--classes", photo_folder / "classes.txt"]
    given = ["--dataset", "webdataset", "--data-root", tmp_path / "shards", *classes]
    code, out, err = ccd("train", *given, *model, "--out", tmp_path / "run")
    assert code == 0, err
    assert "student, chosen epoch, test" in out
    assert "train-0.tar/train-bad.jpg,not an image" in (tmp_path / "run" / "quarantine.csv").read_text()
    assert "data:image/jpeg" in (tmp_path / "run" / "report.html").read_text()
    assert ccd("train", "--resume", "--out", tmp_path / "run")[0] == 0

    code, out, err = ccd("predict", tmp_path / "run", tmp_path / "shards" / "test-0.tar", "--json")
    assert (code, len(out.splitlines())) == (2, 12)
    assert "test-0.tar/test-bad.jpg: not an image" in err
    asked = ["label", *given, "--teacher", tiny_clip, "--out", tmp_path / "shards.csv"]
    assert ccd(*asked)[0] == 2  # two are unreadable
    files = ["--data-root", photo_folder, *classes, "--teacher", tiny_clip]
    assert ccd("label", *files, "--out", tmp_path / "files.csv")[0] == 0
    of_shards, of_files = (scores(tmp_path / name) for name in ("shards.csv", "files.csv"))
    assert len(of_files) == 36
    assert of_shards == of_files
    code, out, _ = ccd("verify", *given)
    assert code == 1
    assert "train: 1 cannot be decoded, for example train-0.tar/train-bad.jpg" in out
