"""The weights that the demo's student starts from: they can be trained anew, and the committed ones know objects."""

from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch

from ccd_fast.demo import story, tiny_student
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.training_pictures import Pictures, training_pictures, unseen_singles
from ccd_fast.student import network as student

SEED = 123  # no picture of it has been trained on


def committed() -> torch.nn.Module:
    model = timm.create_model(tiny_student.BACKBONE, num_classes=len(CLASS_NAMES))
    model.load_state_dict(safetensors.torch.load_file(tiny_student.install()))
    return model.eval()


def test_a_brief_training_lowers_the_loss(tmp_path: Path) -> None:
    drawn = training_pictures(tmp_path, SEED, singles=320, scenes=0, workers=1)
    easy = np.isin(drawn.classes, [CLASS_NAMES.index(name) for name in ("car", "sun", "snowman", "cactus")])
    _, losses = tiny_student.train(Pictures(drawn.pixels[easy], drawn.classes[easy]), 30, 1, say=lambda line: None)
    assert losses[0] > 2.5
    assert np.mean(losses[-3:]) < losses[0] - 1


def test_the_committed_weights_know_single_objects(cache: Path) -> None:
    pixels, classes = unseen_singles(SEED, 200, workers=1)
    assert tiny_student.accuracy(committed(), pixels, classes) > 0.7
    assert tiny_student.accuracy(committed(), pixels, np.roll(classes, 1)) < 0.2


def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    file = tiny_student.install(tmp_path)
    before = file.stat().st_mtime_ns
    assert tiny_student.install(tmp_path) == file
    assert file.stat().st_mtime_ns == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_demo_s_student_starts_from_them(cache: Path) -> None:
    knobs = story.recipe(0, []).student
    assert knobs.backbone == tiny_student.BACKBONE
    built = student.build(knobs.backbone, 20, knobs.alpha, knobs.weights)
    stem = committed().state_dict()["conv_stem.weight"]
    torch.testing.assert_close(built.backbone.state_dict()["conv_stem.weight"], stem)


def test_the_weights_are_small() -> None:
    assert (tiny_student.FOLDER / tiny_student.WEIGHTS).stat().st_size < 2**20
