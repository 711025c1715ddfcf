"""A whole run whose labels are updated from maps: killed again and again, and on two processes."""

import json
import os
import shutil
import signal
from functools import partial

import pytest
import test_interrupted as interrupted
import test_ranks as ranked

from ccd_fast.datasets import Source
from ccd_fast.engines import default_folder
from ccd_fast.runs.folder import RunFolder

MAPS = (
    "teacher.runtime=torch",  # nothing is exported
    "relabel.teacher=maps",
    "relabel.student=training",
    "train.epochs=3",
    "relabel.epochs=1",
    "relabel.min_tau=0.01",
)
LOOK, KEEP, SCORE, STEP = (
    ("ccd_fast.teacher.maps:MapTeacher", "look", 2),
    ("ccd_fast.labels.map_store:MapStore", "write", 3),
    ("ccd_fast.teacher.maps:MapTeacher", "scores", 3),
    ("ccd_fast.training.steps:Trainer", "step", 10),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("cache"),
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
]


@pytest.fixture(scope="module")
def source(photo_folder):
    return Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")


def forget() -> None:
    shutil.rmtree(default_folder() / "maps", ignore_errors=True)


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(source, tiny_clip, tmp_path):
    def go(out, resume, moment):
        run = partial(interrupted.go, source, tiny_clip, tmp_path / out, knobs=MAPS)
        return interrupted.process(run, resume, moment, signal.SIGKILL)

    forget()
    assert go("whole", False, interrupted.NEVER) == 0
    stages = [line.get("stage") for line in map(json.loads, (tmp_path / "whole" / "metrics.jsonl").open())]
    assert "relabel" in stages and "activity threshold" not in stages
    forget()
    for number, moment in enumerate((STEP, LOOK, KEEP, SCORE)):
        assert go("run", number > 0, moment) == -signal.SIGKILL
    forget()  # what is left of the pass must do without what it has kept
    assert go("run", True, interrupted.NEVER) == 0
    interrupted.assert_equal(interrupted.remains(tmp_path / "run"), interrupted.remains(tmp_path / "whole"))


def test_two_processes_give_the_labels_of_one_and_read_each_other_s_maps(source, tiny_clip, tmp_path):
    knobs = (*ranked.STILL, *MAPS[:3])
    for count in (2, 1):
        forget()
        run = partial(ranked.go, source, tiny_clip, tmp_path / str(count), knobs, False)
        assert ranked.processes(run, count) == [0] * count
    one, two = (interrupted.remains(tmp_path / name) for name in "12")
    for name in ("labels", "tau", "test_maps"):
        interrupted.assert_equal(two[name], one[name])
    facts = RunFolder(tmp_path / "2").read_json("run.json")
    ten_sevenths = {"image_size": 96, "numbers": 37 * 64, "parity": None}  # of 64, in whole patches
    assert facts["engine"]["maps"] == ten_sevenths
