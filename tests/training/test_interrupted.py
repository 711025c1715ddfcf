"""A run that is killed, or stopped by Ctrl-C, at any moment goes on and ends with the same bits."""

import importlib
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from same_bits import OFTEN, assert_equal, remains

from ccd_fast.datasets import Source
from ccd_fast.errors import RunError, UserError
from ccd_fast.recipes import config
from ccd_fast.runs.folder import PARTIAL, RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.student import reading
from ccd_fast.training import epoch as fit
from ccd_fast.training import run as training
from ccd_fast.training.passes import StandardPasses

SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "train.batch_size=4")
SMALL += ("consistency.mu=1.0", "labels.anchors=none")
RUN = ("train.epochs=4", "relabel.epochs=2", "relabel.min_tau=0.0", "relabel.cache_mib=0", "views.backend=pillow",
       "labels.grids=[2]", "labels.neighbours=2", "student.head=ridge", "train.ema=0.9",
       "train.schedule=cosine")  # fmt: skip
Moment = tuple[str, str, int]

MOMENTS: dict[str, Moment] = {
    "in the first labels": ("ccd_fast.labels.table:FirstLabels", "add", 2),
    "while the head begins": ("ccd_fast.student.network:Student", "features", 2),
    "in a training epoch": ("ccd_fast.training.steps:Trainer", "step", 7),
    "before an evaluation": ("ccd_fast.training.run", "student_metrics", 2),
    "in the look at the cells": ("ccd_fast.labels.crop_scores:ScoredCrops", "add", 2),
    "in a relabel pass": ("ccd_fast.labels.crop_scores:ScoredCrops", "add", 8),
    "while a checkpoint is written": ("os", "fsync", 23),
    "between two checkpoints": ("ccd_fast.runs.folder:RunFolder", "save_student", 3),
}
"""What is called when the process dies, and at which call."""

pytestmark = [pytest.mark.usefixtures("cache"), pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["ccd_fast.training.run", "ccd_fast.views.pillow", "ccd_fast.engines"])


def go(source: Source, clip: Path, out: Path, resume: bool, knobs: tuple[str, ...] = ()) -> None:
    """Train in this process."""
    recipe = config.load("folder", [f"teacher.model='''{clip}'''", "teacher.batch_size=4", *SMALL, *RUN, OFTEN, *knobs])
    folder = RunFolder(out)
    with torch.random.fork_rng(devices=[]):
        training.train(source, recipe, folder, Stages(Console(file=StringIO()), folder.add_metrics), resume=resume)


def go_and_end(run: Callable[[bool], None], resume: bool, moment: Moment, number: int) -> None:
    """Train, and send this process a signal at the n-th call of something."""
    place, name, count = moment
    module, _, inside = place.partition(":")
    owner = importlib.import_module(module)
    owner = getattr(owner, inside) if inside else owner
    original, calls = getattr(owner, name), 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), number)
        return original(*arguments, **options)

    reading.LOAD_BATCH = 4  # several batches, of few photographs
    setattr(owner, name, counted)
    try:
        run(resume)
    except KeyboardInterrupt:
        os._exit(130)


def process(run: Callable[[bool], None], resume: bool, moment: Moment, number: int) -> int:
    child = context.Process(target=go_and_end, args=(run, resume, moment, number))
    child.start()
    child.join(120)
    assert child.exitcode is not None
    return child.exitcode


NEVER = ("os", "fsync", -1)


@pytest.fixture(scope="module")
def source(photo_folder):
    return Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")


@pytest.fixture(scope="module")
def whole(source, tiny_clip, cache, tmp_path_factory):
    """What a run leaves that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert process(partial(go, source, tiny_clip, out), False, NEVER, signal.SIGKILL) == 0
    return remains(out)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_goes_on_to_the_same_bits(whole, source, tiny_clip, tmp_path, moment):
    run = partial(go, source, tiny_clip, tmp_path / "run")
    assert process(run, False, MOMENTS[moment], signal.SIGKILL) == -signal.SIGKILL
    assert process(run, True, NEVER, signal.SIGKILL) == 0
    assert_equal(remains(tmp_path / "run"), whole)
    assert not (tmp_path / "run" / PARTIAL).exists()
    assert [file.name for file in (tmp_path / "run").rglob("*.tmp")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_finishes_its_step_and_goes_on_from_there(whole, source, tiny_clip, tmp_path, number):
    knobs = ("train.save_minutes=0",)  # so that it is the signal that has it kept
    out = tmp_path / "run"
    run = partial(go, source, tiny_clip, out, knobs=knobs)
    assert process(run, False, MOMENTS["in a training epoch"], number) == 130
    kept = torch.load(out / PARTIAL, weights_only=True)
    assert kept["pass"] == "train 1"
    assert kept["done"] > 0
    assert process(run, True, NEVER, number) == 0
    assert_equal(remains(out), whole)


def test_what_was_done_is_not_done_again(source, tiny_clip, tmp_path, monkeypatch):
    out = tmp_path / "run"
    run = partial(go, source, tiny_clip, out)
    process(run, False, MOMENTS["in a training epoch"], signal.SIGKILL)
    steps = []
    step = fit.Trainer.step
    monkeypatch.setattr(fit.Trainer, "step", lambda *arguments: steps.append(1) or step(*arguments))
    run(True)
    images = len(source.load("train"))
    in_all = 4 * -(-images // 4)
    assert len(steps) == in_all - 6  # the seventh was never taken
    (out / PARTIAL).write_bytes(b"of a run that was killed just before it had ended")
    run(True)
    assert not (out / PARTIAL).exists()


def test_cells_that_were_looked_at_are_not_looked_at_again(source, tiny_clip, tmp_path, monkeypatch):
    run = partial(go, source, tiny_clip, tmp_path / "run")
    assert process(run, False, MOMENTS["while the head begins"], signal.SIGKILL) == -signal.SIGKILL
    looks, cells = [], StandardPasses.cells
    monkeypatch.setattr(StandardPasses, "cells", lambda *a: looks.append(1) or cells(*a))
    run(True)
    assert looks == []


def test_a_label_update_that_was_done_is_not_done_again(whole, source, tiny_clip, tmp_path, monkeypatch):
    out = tmp_path / "run"
    run = partial(go, source, tiny_clip, out)
    # 6 steps an epoch of 24 images: the first one of epoch 2, which begins with an update
    process(run, False, ("ccd_fast.training.steps:Trainer", "step", 13), signal.SIGKILL)
    shutil.copytree(out, tmp_path / "copy")
    assert process(partial(go, source, tiny_clip, tmp_path / "copy"), True, NEVER, signal.SIGKILL) == 0
    assert_equal(remains(tmp_path / "copy"), whole)
    epochs, update = [], StandardPasses.relabel
    monkeypatch.setattr(StandardPasses, "relabel", lambda *a: epochs.append(a[5]) or update(*a))
    run(True)
    assert epochs == [3]


def test_a_disk_that_is_full_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.create(overwrite=False)
    folder.save_student("last", {"weight": torch.ones(3)})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        RunError, match=r"last\.safetensors: cannot be written: No space left on device \(.* are needed"
    ):
        folder.save_student("last", {"weight": torch.zeros(3)})
    assert torch.equal(folder.load_student("last")["weight"], torch.ones(3))
    assert [file.name for file in tmp_path.rglob("*.tmp")] == []


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path):
    with pytest.raises(RunError, match=r"run\.json: cannot be written: No such file or directory"):
        RunFolder(tmp_path / "gone").write_json("run.json", {})


def test_nothing_to_go_on_with_is_one_line(source, tiny_clip, tmp_path):
    with pytest.raises(UserError, match="holds no run to go on with"):
        go(source, tiny_clip, tmp_path / "run", True)
