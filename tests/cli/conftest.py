"""``ccd-fast`` in this process, and a run that it trained, one for all tests of this folder."""

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def arguments(photo_folder, tiny_clip):
    small = ["student.image_size=64", "train.batch_size=8", "teacher.batch_size=8", "train.epochs=3"]
    small += ["labels.anchors=none"]  # the weights are random
    named = {
        "--data-root": photo_folder,
        "--classes": photo_folder / "classes.txt",
        "--truth": photo_folder / "labels.csv",
        "--teacher": tiny_clip,
        "--student": "test_resnet",
        "--student-weights": "none",
    }
    return [str(part) for pair in named.items() for part in pair] + [part for knob in small for part in ("--set", knob)]


@pytest.fixture(scope="session")
def trained(arguments, cache, tmp_path_factory):
    """A run that was trained by the command itself, in a process of its own."""
    out = tmp_path_factory.mktemp("runs") / "run"
    command = [sys.executable, "-m", "ccd_fast", "train", *arguments, "--log", "tensorboard", "--out", str(out)]
    environment = {**os.environ, "CCD_CACHE": str(cache), "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout, done.stderr
