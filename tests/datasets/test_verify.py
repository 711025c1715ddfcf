"""Checking a tree before hours are spent on it."""

import csv
import io
import json
import shutil

import pytest
from PIL import Image
from rich.console import Console

from ccd_fast.datasets import Source
from ccd_fast.datasets.verify import CHUNK, verify
from ccd_fast.runs.progress import Stages


@pytest.fixture
def photos(photo_folder, tmp_path):
    shutil.copytree(photo_folder, tmp_path / "photos")
    return tmp_path / "photos"


def check(root, **options):
    source = Source("folder", root, root / "classes.txt", root / "labels.csv")
    return verify(source, Stages(Console(file=io.StringIO())), 2, **options)


def rows(root):
    with (root / "labels.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_all_is_well_and_the_labels_are_counted(photos):
    report = check(photos)
    assert report.problems == []
    train, test = report.splits
    assert (train.images, test.images) == (24, 12)
    for split in (train, test):
        cats = sum("cat" in row["labels"].split("|") for row in rows(photos) if row["split"] == split.split)
        assert split.labels["cat"] == cats
        assert split.without_label == split.unknown == 0


def test_missing_and_unreadable_images_are_told_apart(photos):
    jpegs = (row["path"] for row in rows(photos) if row["path"].endswith(".jpg") and row["split"] == "train")
    first, second, third = sorted(jpegs)[:3]
    (photos / first).unlink()
    (photos / second).write_bytes((photos / second).read_bytes()[:400])
    (photos / third).write_bytes(b"")
    train = check(photos).splits[0]
    assert train.missing == [first]
    assert train.unreadable == {second: "truncated", third: "empty file"}
    report = check(photos)
    assert report.problems == [
        f"train: 1 missing, for example {first}",
        f"train: 2 cannot be decoded, for example {second}",
    ]
    quick = check(photos, quick=True)
    assert quick.problems == [f"train: 1 missing, for example {first}"]


def test_more_images_than_are_decoded_at_a_time_keep_their_names(photos):
    picture = (photos / rows(photos)[1]["path"]).read_bytes()
    for number in range(CHUNK + 9):
        (photos / f"extra{number:03d}.jpg").write_bytes(b"rubbish" if number == CHUNK + 3 else picture)
    train = check(photos).splits[0]
    assert train.images == 24 + CHUNK + 9
    assert train.unknown == CHUNK + 9
    assert train.unreadable == {f"extra{CHUNK + 3:03d}.jpg": "not an image (starts with 'rubbish')"}


def test_files_with_the_same_bytes_are_told_but_no_mistake(photos):
    first, second = rows(photos)[1]["path"], rows(photos)[2]["path"]
    shutil.copy(photos / first, photos / second)
    report = check(photos)
    assert report.same_content == [sorted([first, second])]
    assert report.problems == []


def test_images_that_train_and_test_share_and_wrong_counts_are_problems(photos, monkeypatch):
    import dataclasses

    source = Source("voc12", photos)
    folder = Source("folder", photos, photos / "classes.txt", photos / "labels.csv")
    train, test = folder.load("train"), folder.load("test")
    leaking = dataclasses.replace(train, paths=(test.paths[0], train.paths[1], *train.paths[1:-1]), official=24)
    sets = {"train": leaking, "test": dataclasses.replace(test, official=13)}
    monkeypatch.setattr(Source, "load", lambda self, split: sets[split])
    stages = Stages(Console(file=io.StringIO()))
    report = verify(source, stages, 1, quick=True)
    assert report.splits[0].listed_twice == [train.paths[1]]
    assert report.in_both_splits == [test.paths[0]]
    assert report.problems == [
        f"train: 1 named more than once, for example {train.paths[1]}",
        "test: 12 images, but the official split has 13 (--subset if a part of them is meant)",
        f"1 in both splits, for example {test.paths[0]}",
    ]
    subset = verify(source, stages, 1, quick=True, subset=True)
    assert not any("official" in problem for problem in subset.problems)


def test_the_command_prints_tables_or_json_and_its_code_says_whether_all_is_well(photos, ccd):
    files = ["--data-root", photos, "--classes", photos / "classes.txt", "--truth", photos / "labels.csv"]
    code, out, err = ccd("verify", *files)
    assert code == 0
    assert "all is well" in out
    assert " a second" in err
    gone = rows(photos)[1]["path"]
    (photos / gone).unlink()
    code, out, _ = ccd("verify", *files, "--quick")
    assert code == 1
    assert f"wrong: train: 1 missing, for example {gone}" in out
    assert "not tried" in out
    code, out, _ = ccd("verify", *files, "--json")
    assert code == 1
    assert json.loads(out)["splits"][0]["missing"] == [gone]


def test_a_tree_that_is_none_is_a_mistake_of_the_user(tmp_path, ccd):
    code, out, err = ccd("verify", "--dataset", "voc12", "--data-root", tmp_path)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert "no VOC2012 there" in err


def test_the_data_sets_are_listed_with_their_counts_and_trees(ccd):
    code, out, _ = ccd("datasets")
    assert code == 0
    for said in ("voc07", "5011 train, 4952 test", "82081 train, 40137 test", "formatted_{train,val}_images.npy"):
        assert said in out
    listed = {entry["name"]: entry for entry in json.loads(ccd("datasets", "--json")[1])}
    assert list(listed) == ["folder", "imagefolder", "webdataset", "voc07", "voc12", "coco", "coco2017", "nus"]
    assert listed["nus"]["classes"] == len(listed["nus"]["class_names"]) == 81
    assert listed["nus"]["forms"][0]["images"] == {"train": 161_789, "test": 107_859}
    assert [listed[name]["classes"] for name in ("voc07", "voc12", "coco", "coco2017")] == [20, 20, 80, 80]


def test_transparency_and_what_is_passed_over_are_counted(photos):
    clear = Image.new("RGBA", (8, 8))
    clear.save(photos / "clear.png")
    clear.save(photos / "clear.webp", lossless=True)
    Image.new("P", (8, 8)).save(photos / "clear.gif", transparency=0)
    shutil.copy(photos / rows(photos)[1]["path"], photos / "without_ending")
    (photos / "round").symlink_to(photos)
    report = check(photos)
    assert report.splits[0].transparent == 3
    assert report.splits[1].transparent == 0
    assert [line[:24] for line in report.passed_over] == ["1 files that have no end", "1 links lead back to a f"]
    assert report.problems == []


def test_images_are_decoded_as_a_run_decodes_them(photos, monkeypatch):
    from ccd_fast.datasets import verify as checking

    asked = []
    real = checking.open_backend
    monkeypatch.setattr(checking, "open_backend", lambda name, *a, **k: (asked.append(name), real(name, *a, **k))[1])
    check(photos)
    assert asked == ["auto"]
