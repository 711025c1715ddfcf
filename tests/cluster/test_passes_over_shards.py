"""Two passes over shards: the labels of one process, to the bit, whatever is interrupted, damaged or added."""

import json
import shutil

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from cluster.sharded_world import CLASSES, alone, of_bytes, rows, run_over, write_shards
from rich.console import Console

from ccd_fast import kernels
from ccd_fast.cluster import output, passes, steps
from ccd_fast.cluster.steps import Verdict
from ccd_fast.cluster.storage import Place
from ccd_fast.errors import RunError, UserError
from ccd_fast.labels.bias import UNNAMED
from ccd_fast.outputs import label_files, labelling
from ccd_fast.recipes import config
from ccd_fast.runs import Stages
from ccd_fast.training import passes as training_passes

pytestmark = pytest.mark.usefixtures("cache")
HALF = np.full(len(CLASSES), 0.5, dtype=np.float32)


@pytest.fixture(scope="module")
def recipe(tiny_clip):
    return config.load("folder", [f"teacher.model='''{tiny_clip}'''", "teacher.batch_size=8"])


@pytest.fixture(scope="module", autouse=True)
def open_once():
    """A teacher that has been opened serves all tests of this file."""
    opened = {}

    def open_passes(recipe, images, *others):
        key = recipe.model_dump_json()
        if key not in opened:
            opened[key] = training_passes.open_passes(recipe, images, *others)
        return opened[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "open_passes", open_passes)
        patch.setattr(labelling, "open_passes", open_passes)
        yield


@pytest.fixture(scope="module")
def shards(photo_folder, tmp_path_factory):
    return write_shards(photo_folder / "images", tmp_path_factory.mktemp("shards"), 4)


def by_one_process(root, recipe, dataset="webdataset"):
    labelled = labelling.by_teacher(root, CLASSES, recipe, Stages(Console(quiet=True)), "cpu", dataset)
    return of_bytes(label_files.parquet(labelled, labelling.chosen(labelled, HALF)))


@pytest.fixture(scope="module")
def expected(shards, recipe, cache):
    return by_one_process(shards, recipe)


def test_labels_over_shards_are_those_of_one_process_to_the_bit(shards, recipe, expected, tmp_path):
    found = passes.first_labels(run_over(shards, tmp_path), recipe, Verdict(HALF))
    assert rows(tmp_path) == expected
    assert any(row["labels"] for row in expected.values())
    assert (found["shards"], found["photographs"], found["unreadable"]) == (4, 37, 1)
    assert found["labels"] == sum(len(row["labels"]) for row in expected.values()) == sum(found["by_class"].values())
    assert {"fetch", "decode", "teacher"} <= found["passes"]["scores"]["share"].keys()
    listed = (tmp_path / "quarantine" / "part1" / "001.tar.csv").read_text().splitlines()
    assert listed[1].startswith("part1/001.tar/1-rubbish.jpg,") and len(listed) == 2


def test_a_run_that_ends_anywhere_goes_on_and_does_nothing_twice(shards, recipe, expected, tmp_path):
    seen = []

    def dying(parts, step):
        for n, report in enumerate(alone(parts, step)):
            seen.append((step.writes, report["shard"]))
            yield report
            if n == 1:
                raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            passes.first_labels(run_over(shards, tmp_path, over=dying), recipe, Verdict(HALF))
    found = passes.first_labels(run_over(shards, tmp_path), recipe, Verdict(HALF))
    assert rows(tmp_path) == expected
    assert found["photographs"] == 37 and found["passes"]["scores"]["shards"] == 0
    assert len(seen) == len(set(seen)) == 6


def test_shards_that_come_later_change_the_bias_of_all(shards, recipe, expected, tmp_path):
    root, out = tmp_path / "shards", tmp_path / "out"
    shutil.copytree(shards / "part0", root / "part0")
    passes.first_labels(run_over(root, out), recipe, Verdict(HALF))
    assert rows(out) != {path: row for path, row in expected.items() if path.startswith("part0")}
    shutil.copytree(shards / "part1", root / "part1")
    found = passes.first_labels(run_over(root, out), recipe, Verdict(HALF))
    assert rows(out) == expected
    assert found["passes"]["scores"]["shards"] == 2 and found["passes"]["labels"]["shards"] == 4


def test_a_damaged_shard_is_named_and_the_others_are_labelled(shards, recipe, tmp_path):
    root, out = tmp_path / "shards", tmp_path / "out"
    shutil.copytree(shards, root)
    (root / "part0" / "004.tar").write_bytes((root / "part0" / "002.tar").read_bytes()[:2000])
    found = passes.first_labels(run_over(root, out), recipe, Verdict(HALF))
    assert list(found["damaged_shards"]) == ["part0/004.tar"] and found["shards"] == 4


def test_a_shard_that_nobody_could_do_is_told_and_the_rest_is_kept(shards, recipe, expected, tmp_path):
    lost = run_over(shards, tmp_path, over=lambda parts, step: alone(parts[1:], step))
    with pytest.raises(RunError, match=r"1 of 4 shards could not be done, for example part0/000\.tar: its actor ended"):
        passes.first_labels(lost, recipe, Verdict(HALF))
    passes.first_labels(run_over(shards, tmp_path), recipe, Verdict(HALF))
    assert rows(tmp_path) == expected


def test_a_table_that_is_gone_is_made_again(shards, recipe, expected, tmp_path):
    passes.first_labels(run_over(shards, tmp_path), recipe, Verdict(HALF))
    (tmp_path / "labels" / "part0" / "000.tar.parquet").unlink()
    passes.first_labels(run_over(shards, tmp_path), recipe, Verdict(HALF))
    assert rows(tmp_path) == expected


def test_a_teacher_that_is_not_there_ends_the_run_at_once(shards, tmp_path):
    nothing = config.load("folder", ["teacher.model=nosuch/weights"])
    with pytest.raises(UserError, match="nosuch"):
        passes.first_labels(run_over(shards, tmp_path), nothing, Verdict(HALF))


def test_no_confident_photograph_is_told_before_anything_is_divided(shards, recipe, tmp_path):
    strict = recipe.model_copy(update={"labels": recipe.labels.model_copy(update={"max_entropy": 0.0})})
    with pytest.raises(UserError, match="no photograph is confident"):
        passes.first_labels(run_over(shards, tmp_path), strict, Verdict(HALF))


def test_shards_of_nothing_that_is_asked_for_are_labelled_all_the_same(shards, recipe, tmp_path, monkeypatch):
    own = kernels.score
    likelier = torch.arange(500) >= len(CLASSES)  # what stands beside the classes
    monkeypatch.setattr(kernels, "score", lambda seen, *rest: own(seen + 9 * likelier[: seen.shape[1]], *rest))
    wide = recipe.model_copy(update={"labels": recipe.labels.model_copy(update={"anchors": "everyday"})})
    at_hand, told = run_over(shards, tmp_path), []
    at_hand.say = told.append
    passes.first_labels(at_hand, wide, Verdict(HALF))
    assert UNNAMED in told
    assert rows(tmp_path) == by_one_process(shards, wide)


def test_the_likeliest_numbers_alone_are_kept_where_that_is_asked(shards, recipe, expected, tmp_path):
    passes.first_labels(run_over(shards, tmp_path), recipe, Verdict(HALF, top=2))
    for path, row in rows(tmp_path).items():
        numbers = sorted((expected[path][name] for name in CLASSES), reverse=True)
        assert row["values"] == numbers[:2] and len(row["likeliest"]) == 2
        assert row["labels"] == expected[path]["labels"]
        assert set(row) == {"path", "status", "labels", "likeliest", "values"}


@pytest.mark.parametrize("kind", ["bytes", "struct", "paths", "folder", "memory"])
def test_whatever_holds_the_photographs_the_numbers_are_the_same(kind, photo_folder, recipe, tmp_path):
    files = sorted(file for file in (photo_folder / "images").rglob("*") if file.is_file())
    names = [file.relative_to(photo_folder).as_posix() for file in files]
    source, dataset = tmp_path / "source", "parquet"
    source.mkdir()
    if kind == "bytes":
        tables = {"a": {"key": names, "jpg": [file.read_bytes() for file in files]}}
    elif kind == "struct":
        tables = {"a": {"image": [{"bytes": f.read_bytes(), "path": n} for f, n in zip(files, names, strict=True)]}}
    else:
        tables = {"a": {"path": names[:20]}, "b": {"path": names[20:]}} if kind == "paths" else {}
        shutil.copytree(photo_folder / "images", source / "images")
    for name, columns in tables.items():
        pyarrow.parquet.write_table(pyarrow.table(columns), source / f"{name}.parquet")
    if kind == "memory":
        shards = write_shards(photo_folder / "images", tmp_path / "tars", 3, bad=False)
        source, dataset = f"memory://{tmp_path.name}", None
        for file in shards.rglob("*.tar"):
            Place(source).write(file.relative_to(shards).as_posix(), file.read_bytes())
    if kind == "folder":
        dataset = "folder"
    out = f"memory://{tmp_path.name}-out" if kind == "memory" else tmp_path / "out"
    passes.first_labels(run_over(source, out, dataset), recipe, Verdict(HALF))
    found = {row["path"].rpartition("/")[2].rpartition("-")[2]: row for row in rows(out).values()}
    expected = {path.rpartition("/")[2]: row for path, row in by_one_process(photo_folder, recipe, "folder").items()}
    assert {name: {**row, "path": ""} for name, row in found.items()} == {
        name: {**row, "path": ""} for name, row in expected.items()
    }


def test_paths_of_a_table_do_not_lead_out_of_its_folder(recipe, tmp_path):
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"path": ["../../etc/passwd"]}), tmp_path / "in" / "a.parquet")
    with pytest.raises(UserError, match="leads out of"):
        passes.first_labels(run_over(tmp_path / "in", tmp_path / "out", "parquet"), recipe, Verdict(HALF))


PLAN = {"what": "label", "limits": [0.5], "source": "s3://a"}


def test_an_output_is_gone_on_with_replaced_or_refused(tmp_path):
    out = Place(str(tmp_path / "out"))
    output.begin(out, PLAN, False, False)
    with pytest.raises(UserError, match="already exists; go on with --incremental, or replace it with --overwrite"):
        output.begin(out, PLAN, False, False)
    out.write("labels/a.parquet", b"")
    output.begin(out, PLAN, True, False)
    with pytest.raises(UserError, match=r"begun with another limits: \[0\.5\], not \[0\.4\]"):
        output.begin(out, {**PLAN, "limits": [0.4]}, True, False)
    assert out.exists("labels/a.parquet")
    output.begin(out, {**PLAN, "limits": [0.4]}, False, True)
    assert out.names() == ["plan.json"] and json.loads(out.read("plan.json"))["limits"] == [0.4]


def test_a_folder_of_somebody_else_is_never_taken_for_an_output(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="not what a run over shards has left"):
            output.begin(Place(str(tmp_path)), PLAN, False, overwrite)
    assert (tmp_path / "holiday.jpg").exists()
