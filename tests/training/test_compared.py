"""The other systems of the paper's table in the trainer: each trains, goes on bit by bit, and sees what it may."""

import dataclasses
import io
import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet
import pytest
import torch
from rich.console import Console

from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.outputs import trained
from ccd_fast.recipes import config
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.systems import FROM_PEOPLE, SYSTEMS
from ccd_fast.training import Memory, train
from ccd_fast.training.compared import as_clip_says, spread
from ccd_fast.training.steps import Trainer

pytestmark = pytest.mark.usefixtures("cache")

WITH_STATE = ("role", "cdul", "sarb", "sst")
PLAIN = [name for name in SYSTEMS if name not in ("ccd", *WITH_STATE)]
FREE = [name for name in SYSTEMS if name != "ccd" and not set(SYSTEMS[name].may_see) & set(FROM_PEOPLE)]
SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=32", "train.batch_size=8")
SMALL += ("teacher.batch_size=8", "train.epochs=3", "train.backbone_learning_rate=0", "system.share=0.4")


@pytest.fixture(scope="module")
def source(photo_folder):
    return Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")


@pytest.fixture(scope="module")
def memory():
    """Shared by all: the backbone is frozen."""
    return Memory(2**28)


@pytest.fixture
def run(tiny_clip, memory):
    def go(source, out, name, *overrides, **options):
        recipe = config.load("folder", [f"teacher.model='{tiny_clip}'", *SMALL, f"system.name={name}", *overrides])
        folder = RunFolder(out)
        stages = Stages(Console(file=io.StringIO()), folder.add_metrics)
        return train(source, recipe, folder, stages, memory=memory, **options)

    return go


def students(*folders):
    return [RunFolder(folder).load_student("last") for folder in folders]


def bits(content):
    """A nested state as something that compares bit by bit."""
    if isinstance(content, dict):
        return {key: bits(value) for key, value in content.items()}
    return content.numpy().tobytes() if isinstance(content, torch.Tensor) else content


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", PLAIN)
def test_each_trains(run, source, tmp_path, name):
    summary = run(source, tmp_path / "run", name, "train.epochs=1")
    assert 0 < summary["results"]["student, chosen epoch, test"] <= 1
    told = json.loads((tmp_path / "run" / "run.json").read_text())["supervision"]
    assert told["source"] == SYSTEMS[name].may_see[0]


@pytest.mark.parametrize("name", WITH_STATE)
def test_what_changes_beside_the_student_goes_on_bit_by_bit_from_an_epoch_s_end(run, source, tmp_path, name):
    summary = run(source, tmp_path / "whole", name)
    assert summary["epochs"] == 3
    assert 0 < summary["results"]["student, chosen epoch, test"] <= 1
    assert not run(source, tmp_path / "cut", name, until=2)
    run(source, tmp_path / "cut", name, resume=True)
    assert same(*students(tmp_path / "whole", tmp_path / "cut"))
    states = [RunFolder(tmp_path / part).load_state() for part in ("whole", "cut")]
    assert bits(states[0]["method"]) == bits(states[1]["method"])
    told = json.loads((tmp_path / "whole" / "run.json").read_text())["supervision"]
    assert told["source"] == SYSTEMS[name].may_see[0]
    assert len(told["digest"]) == 32
    student = trained.load(tmp_path / "whole").student
    assert student(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))[0].shape == (1, 4)


def with_truth(source, tmp_path, change):
    """The same photographs with another truth."""
    lines = source.truth.read_text().splitlines()
    names = source.classes.read_text().split("\n")[:4]
    changed = [lines[0]]
    for line in lines[1:]:
        path, split, labels = line.split(",")
        changed.append(",".join([path, split, "|".join(change(split, labels.split("|"), names))]))
    (tmp_path / "lies.csv").write_text("\n".join(changed) + "\n")
    return dataclasses.replace(source, truth=tmp_path / "lies.csv")


def lies(split, labels, names):
    return [name for name in names if name not in labels] or [names[0]]


def test_the_annotation_free_systems_are_these():
    assert FREE == ["an", "an-ls", "wan", "epr", "role", "cdul"]


@pytest.mark.parametrize("name", ["an", "role", "cdul", "ccd"])  # each way of making labels
def test_lies_do_not_reach_a_system_that_may_not_see_labels(run, source, tmp_path, name):
    run(source, tmp_path / "truth", name)
    run(with_truth(source, tmp_path, lies), tmp_path / "lies", name)
    assert same(*students(tmp_path / "truth", tmp_path / "lies"))


def test_lies_reach_one_that_learns_from_labels_but_not_from_test_images(run, source, tmp_path):
    of_test = with_truth(source, tmp_path, lambda split, own, all_: own if split == "train" else lies(split, own, all_))
    run(source, tmp_path / "truth", "bce", "train.epochs=1")
    run(of_test, tmp_path / "of-test", "bce", "train.epochs=1")
    assert same(*students(tmp_path / "truth", tmp_path / "of-test"))
    run(with_truth(source, tmp_path, lies), tmp_path / "lies", "bce", "train.epochs=1")
    assert not same(*students(tmp_path / "truth", tmp_path / "lies"))


@pytest.mark.parametrize("labels", ["teacher-threshold", "teacher-soft"])
def test_the_other_readings_of_what_the_teacher_says(run, source, tmp_path, labels):
    run(source, tmp_path / "top1", "an", "train.epochs=1")
    run(source, tmp_path / "other", "an", "train.epochs=1", f"system.labels={labels}", "system.threshold=0.1")
    assert not same(*students(tmp_path / "top1", tmp_path / "other"))


def test_the_temperature_of_ccd_changes_nothing_that_the_others_are_told():
    similarities = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * 6
    readable = torch.tensor([True, True, True, False, True])
    own = torch.softmax(similarities, dim=1) * readable[:, None]
    soft = torch.softmax(similarities / 2.5, dim=1) * readable[:, None]
    found = as_clip_says(SimpleNamespace(scores=soft, readable=readable), 2.5)
    assert torch.allclose(found, own, atol=1e-6)
    assert 1 < spread(found[readable]) < spread(soft[readable]) < 4


@pytest.mark.parametrize("name", ["epr", "cdul"])  # k, and the tiles
def test_a_system_learns_the_same_at_any_temperature(run, source, tmp_path, name):
    run(source, tmp_path / "one", name, "train.epochs=1", "teacher.temperature=1.0")
    run(source, tmp_path / "other", name, "train.epochs=1", "teacher.temperature=2.5")
    for one, other in zip(*(found.values() for found in students(tmp_path / "one", tmp_path / "other")), strict=True):
        assert torch.allclose(one.float(), other.float(), atol=1e-4)


def known_file(tmp_path, rows):
    (tmp_path / "known.csv").write_text("path,labels,absent\n" + "".join(",".join(row) + "\n" for row in rows))
    return tmp_path / "known.csv"


def table_of(out, epoch):
    columns = pyarrow.parquet.read_table(out / "labels" / f"epoch-{epoch:03d}.parquet").to_pydict()
    return columns["path"], np.array([columns[name] for name in ("cat", "dog", "traffic light", "boat")]).T


def test_known_entries_of_ccd_stay_at_their_truth_through_every_update(run, source, tmp_path):
    images = source.load("train")
    told = dataclasses.replace(
        source, known=known_file(tmp_path, [(images.paths[3], "boat", "cat|dog"), (images.paths[7], "", "*")])
    )
    run(source, tmp_path / "without", "ccd", "train.backbone_learning_rate=1e-3")
    run(told, tmp_path / "with", "ccd", "train.backbone_learning_rate=1e-3", until=2)
    run(told, tmp_path / "with", "ccd", "train.backbone_learning_rate=1e-3", resume=True)
    for epoch in (0, 2):
        paths, table = table_of(tmp_path / "with", epoch)
        assert table[paths.index(images.paths[3]), [0, 1, 3]].tolist() == [0, 0, 1]
        assert table[paths.index(images.paths[7])].tolist() == [0] * 4
    assert table_of(tmp_path / "without", 0)[1].min() > 0
    assert 0 < table[3, 2] < 1
    assert not same(*students(tmp_path / "with", tmp_path / "without"))


def test_what_a_system_is_not_told_is_refused_in_a_line(run, source, tmp_path):
    images = source.load("train")
    told = dataclasses.replace(source, known=known_file(tmp_path, [(images.paths[3], "boat", "")]))
    without = dataclasses.replace(source, truth=None)
    cases = [
        (told, "cdul", (), "--known: cdul is not told these; it learns from teacher-tiles"),
        (source, "an", ("system.labels=full",), "system.labels = 'full': an is not told these"),
        (source, "llr", ("system.labels=file",), "it needs --known FILE"),
        (told, "llr", ("system.labels=one-positive",), "--known would not be heeded"),
        (without, "bce", (), "there are none: give --truth FILE"),
        (source, "sarb", ("train.compile=true",), "which train.compile would cut"),
    ]
    for where, name, overrides, said in cases:
        with pytest.raises(UserError, match=said.replace("(", r"\(")):
            run(where, tmp_path / "refused", name, *overrides)
        assert not (tmp_path / "refused").exists()


def test_a_run_does_not_go_on_with_other_known_labels(run, source, tmp_path):
    images = source.load("train")
    told = dataclasses.replace(source, known=known_file(tmp_path, [(images.paths[3], "boat", "")]))
    run(told, tmp_path / "run", "llr", until=1)
    known_file(tmp_path, [(images.paths[3], "cat", "")])
    with pytest.raises(UserError, match="other labels that were told"):
        run(told, tmp_path / "run", "llr", resume=True)


class Gone(BaseException):
    """The process ends."""


@pytest.mark.parametrize("name", ["role", "sst"])  # whose state changes in every step
def test_in_the_middle_of_an_epoch_it_goes_on_with_the_state_of_that_step(run, source, tmp_path, monkeypatch, name):
    often = ("train.epochs=2", "train.save_minutes=0.00000001")
    run(source, tmp_path / "whole", name, *often)
    steps, step = [], Trainer.step

    def dies(*arguments, **options):
        steps.append(1)
        if len(steps) == 6:
            raise Gone
        return step(*arguments, **options)

    monkeypatch.setattr(Trainer, "step", dies)
    with pytest.raises(Gone):
        run(source, tmp_path / "cut", name, *often)
    run(source, tmp_path / "cut", name, *often, resume=True)
    assert len(steps) == 6 + 1  # three an epoch: nothing was done twice
    assert same(*students(tmp_path / "whole", tmp_path / "cut"))
    states = [RunFolder(tmp_path / part).load_state() for part in ("whole", "cut")]
    assert bits(states[0]["method"]) == bits(states[1]["method"])
