"""A run whose tables live in mapped files: its labels, whatever ends it and whatever the number of its processes."""

import os
from functools import partial

import pytest
import test_interrupted as interrupted
import test_ranks as ranked
import torch
from same_bits import assert_equal, remains

from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.labels import on_disk, table
from ccd_fast.labels.crop_scores import ScoredCrops
from ccd_fast.machine.ranks import ALONE
from ccd_fast.recipes import config
from ccd_fast.runs import mapped_tables
from ccd_fast.runs.folder import STATE, RunFolder
from ccd_fast.training import supervision

MAPPED = "labels.table=mapped"
KNOBS = ("relabel.average=anchored", "relabel.cache_mib=1", "train.epochs=3", "train.ema=0", "train.schedule=constant")

pytestmark = [pytest.mark.usefixtures("cache"), pytest.mark.skipif(os.name != "posix", reason="processes of POSIX")]


class KilledError(BaseException):
    """Ends a run as a kill does: nothing catches it, and nothing is tidied up."""


@pytest.fixture(scope="module")
def source(photo_folder):
    return Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")


@pytest.fixture(scope="module")
def run(source, tiny_clip, cache):
    """Train in this process, mapped, on several batches of few photographs."""

    def go(out, *knobs, resume=False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(interrupted.reading, "LOAD_BATCH", 4)
            interrupted.go(source, tiny_clip, out, resume, (MAPPED, *KNOBS, *knobs))

    return go


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """What a run leaves that nobody killed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    run(out)
    return out


def labels_of(out):
    return table.of_run(RunFolder(out)).state()


MOMENTS = {
    "in the first labels": (table.FirstLabels, "add", 3),
    "in the crops of an update": (ScoredCrops, "add", 10),
    "in the write of an update": (mapped_tables, "half", 3),
    "after an update and before its checkpoint": (on_disk, "save", 3),
    "after a checkpoint and before the old table goes": (mapped_tables.Mapped, "sweep", 3),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_goes_on_to_the_same_bits(moment, run, whole, tmp_path, monkeypatch):
    owner, name, last = MOMENTS[moment]
    original, calls = getattr(owner, name), iter(range(1, 10**6))

    def deadly(*arguments, **options):
        if next(calls) == last:
            raise KilledError
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, deadly)
        with pytest.raises(KilledError):
            run(tmp_path / "run")
    run(tmp_path / "run", resume=True)
    assert_equal(remains(tmp_path / "run"), remains(whole))
    assert_equal(labels_of(tmp_path / "run"), labels_of(whole))
    held = [sorted(file.name for file in (out / "labels").iterdir()) for out in (tmp_path / "run", whole)]
    assert held[0] == held[1]
    assert (
        len([name for name in held[1] if "table" in name]) == 3
    )  # the anchor, the last one, and what it was drawn from


def test_a_checkpoint_names_the_tables_and_holds_none(whole):
    held = torch.load(whole / STATE, weights_only=True)
    images, classes = labels_of(whole)["table"].shape
    named = {name for name, kept in held["labels"].items() if isinstance(kept, str)}
    assert named == {"table", "first", "alone"}
    assert held["labels"].pop("near").shape == (images, 2)
    assert all(kept.numel() <= max(images, classes) for kept in held["labels"].values() if not isinstance(kept, str))


def test_two_processes_have_the_tables_of_one_and_memory_those_within_half_precision(source, tiny_clip, tmp_path):
    knobs = (*ranked.STILL, "student.head=drawn", "relabel.average=anchored", "labels.grids=[2]")
    go = partial(ranked.go, source, tiny_clip)
    assert ranked.processes(partial(go, tmp_path / "2", (*knobs, MAPPED), False), 2) == [0, 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupted.reading, "LOAD_BATCH", ranked.BLOCK)
        go(tmp_path / "1", (*knobs, MAPPED), False)
        go(tmp_path / "memory", knobs, False)
    one, two = labels_of(tmp_path / "1"), labels_of(tmp_path / "2")
    assert_equal(two, one)
    assert remains(tmp_path / "2")["tau"] == remains(tmp_path / "1")["tau"]
    assert not [file.name for file in (tmp_path / "2" / "labels").iterdir() if file.name.startswith(".")]
    memory = labels_of(tmp_path / "memory")
    for name in ("table", "first"):
        assert 0 < (memory[name] - one[name].float()).abs().max() < 1e-3
    assert remains(tmp_path / "memory")["tau"] == remains(tmp_path / "1")["tau"]
    assert one["table"].dtype == torch.float16
    written = [on_disk.of_classes(on_disk.files(tmp_path / run)[-1], 4) for run in ("1", "2")]
    assert (written[0] == written[1]).all()


def test_the_published_code_and_the_other_systems_refuse_mapped_tables(source):
    with pytest.raises(UserError, match=r"does not heed every knob: set labels\.table=memory"):
        config.load("paper-voc12-official", [MAPPED])
    recipe = config.load("folder", ["system.name=bce", MAPPED])
    with pytest.raises(UserError, match=r"--system bce: .* set labels\.table=memory"):
        supervision.known(source, recipe, source.load("train"), ALONE)
