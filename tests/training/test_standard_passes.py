"""The passes of a run as the method describes them: which views the student sees, and which images count."""

import dataclasses

import numpy as np
import pytest
import torch

from ccd_fast.datasets import load
from ccd_fast.recipes import config
from ccd_fast.runs.progress import Stage
from ccd_fast.student import Reading
from ccd_fast.student import network as student
from ccd_fast.student.cam import activity_threshold
from ccd_fast.teacher import class_embeddings, load_clip
from ccd_fast.training.standard import StandardPasses
from ccd_fast.views.pillow import PillowViews

KNOBS = ("student.image_size=64", "student.relabel_image_size=96", "relabel.k=0", "relabel.min_tau=0.01")
SAID = "broad names are asked for by their kinds too: person: man, woman, boy, girl (teacher.names)"


@pytest.fixture(scope="module")
def images(photo_folder):
    whole = load("folder", photo_folder, "train", photo_folder / "classes.txt", photo_folder / "labels.csv")
    return dataclasses.replace(whole, paths=("images/gone.jpg", *whole.paths[1:]))


def passes_of(recipe):
    """The passes without a teacher."""
    passes = StandardPasses.__new__(StandardPasses)
    passes.recipe, passes.reading, passes.student_runtime = recipe, Reading(PillowViews()), "torch"
    return passes


def test_tau_is_set_on_the_relabel_views_of_the_images_that_can_be_read(images):
    recipe, net = config.load("folder", KNOBS), student.build("test_resnet", 4, 3.0, "none").train()
    tau = passes_of(recipe).activity_threshold(net, images, 2, Stage("test", len(images), lambda _: None))
    backend, rows = PillowViews(), np.arange(1, len(images))
    views = backend.whole(backend.decode(images.files(rows), rows), 96, "bilinear")
    with torch.inference_mode():
        probabilities = torch.sigmoid(net.eval()(views)[0])
    assert tau == pytest.approx(activity_threshold(probabilities, 0, 0.01), abs=1e-6)
    with_a_row_of_zeros = torch.cat([probabilities, torch.zeros(1, 4)])
    assert abs(tau - activity_threshold(with_a_row_of_zeros, 0, 0.01)) > 1e-5


def test_relabel_views_may_have_a_size_of_their_own():
    assert config.load("folder", KNOBS).student.relabel_size == 96
    assert config.load("folder", [*KNOBS, "student.relabel_image_size=same"]).student.relabel_size == 64


def test_the_kinds_of_broad_names_are_asked_for_too_and_that_is_said(photo_folder, tiny_clip, tmp_path):
    (tmp_path / "classes.txt").write_text("person\nkite\n")
    images = load("folder", photo_folder, "train", tmp_path / "classes.txt")
    clip, pixels = load_clip(str(tiny_clip)), torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8)
    scores, told = {}, []
    for names in ("given", "widened"):
        own = (f"teacher.model='{tiny_clip}'", f"teacher.names={names}", "labels.anchors=everyday", *KNOBS)
        recipe = config.load("folder", own)
        teacher = StandardPasses(recipe, images, None, "cpu", told.append).teacher
        similarities = teacher.similarities(pixels)
        assert similarities.shape == (8, 2 + teacher.anchors)
        scores[names] = similarities.softmax(dim=1)
        assert [line for line in told if "by their kinds" in line] == ([] if names == "given" else [SAID])
    kinds = class_embeddings(clip, ("person", "man", "woman", "boy", "girl", "kite"), recipe.teacher.templates)
    embedded = teacher.engine.embed(pixels)
    every = (clip.scale / recipe.teacher.temperature * embedded @ kinds.T).double().exp()
    wanted = every[:, :5].sum(dim=1) / 5**0.5 / every[:, 5]
    assert torch.allclose((scores["widened"][:, 0] / scores["widened"][:, 1]).double(), wanted, rtol=1e-4)
    assert not torch.allclose(scores["given"][:, 0] / scores["given"][:, 1], wanted.float(), rtol=1e-2)
