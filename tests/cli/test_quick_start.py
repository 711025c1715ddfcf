"""A few photographs wait for little: what takes long to load is loaded where it is needed only."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import safetensors.numpy

from ccd_fast.engines import Store
from ccd_fast.student.kept_engine import open_kept

TRY = """
import sys
from ccd_fast.cli import main
sys.argv = ["ccd-fast", *sys.argv[1:]]
try:
    main()
finally:
    large = ("timm", "torchvision", "open_clip", "torch._dynamo", "onnx", "onnxscript")
    print("loaded", *(name for name in large if name in sys.modules), file=sys.stderr)
"""


def run(cache, *words):
    """Run a command in a process of its own; give its output, and what it had loaded in the end."""
    environment = {**os.environ, "CCD_CACHE": str(cache)}
    command = [sys.executable, "-c", TRY, *map(str, words), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.splitlines()[-1].split()[1:]


@pytest.fixture
def one(photo_folder, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(photo_folder / "images" / "part1" / "001.jpg", tmp_path / "one")
    return tmp_path / "one"


def test_labels_are_given_without_clip_once_its_engine_and_its_class_embeddings_are_kept(
    one, photo_folder, tiny_clip, cache, ccd, tmp_path
):
    words = ["label", "--data-root", one, "--classes", photo_folder / "classes.txt", "--teacher", tiny_clip]
    words += ["--set", "labels.anchors=none"]  # to weights that are drawn, everything is as likely
    assert ccd(*words, "--out", tmp_path / "first.csv")[0] == 0
    _, loaded = run(cache, *words, "--out", tmp_path / "second.csv")
    assert loaded == []
    assert (tmp_path / "first.csv").read_text() == (tmp_path / "second.csv").read_text()


def test_a_student_predicts_by_its_kept_engine_as_it_does_by_itself(one, trained, cache, tmp_path):
    told, loaded = run(cache, "predict", trained[0], one, "--json")
    assert set(loaded) <= {"onnx"}  # which puts the weights into the graph
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "engine.json").unlink()
    slowly, loaded = run(cache, "predict", tmp_path / "run", one, "--json")
    assert "timm" in loaded
    ours, expected = (json.loads(text)["probabilities"] for text in (told, slowly))
    assert ours == pytest.approx(expected, abs=1e-4)


def test_an_engine_of_other_weights_is_not_used(one, trained, cache, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "best.safetensors"
    weights = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file({**weights, "head.bias": weights["head.bias"] + 1}, file)
    assert open_kept(trained[0], "best", Store(cache)) is not None
    assert open_kept(tmp_path / "run", "best", Store(cache)) is None
    assert open_kept(trained[0], "last", Store(cache)) is None
    assert open_kept(trained[0], "best", Store(tmp_path)) is None
