"""An epoch of training by itself."""

import numpy as np
import pytest
import torch

from ccd_fast import randomness
from ccd_fast.datasets import Source
from ccd_fast.randomness import Purpose
from ccd_fast.recipes import config
from ccd_fast.runs.progress import Stage
from ccd_fast.student import network as student
from ccd_fast.student.losses import CcdLoss
from ccd_fast.student.training_views import TrainingViews
from ccd_fast.training import epoch as fit
from ccd_fast.training.steps import Trainer
from ccd_fast.views import flipped, installed_backends, jitter_factors, open_backend

RECIPE = config.load("folder", ["student.image_size=32", "train.batch_size=5"])


@pytest.fixture(scope="module")
def images(photo_folder):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    return source.load("train")


def epoch(images, backend, sample=None):
    net = student.build("test_resnet", 4, 3.0, "none")
    marks = torch.ones(len(images), dtype=torch.bool)
    marks[2] = False
    table = torch.rand(len(images), 4, generator=torch.Generator().manual_seed(0))
    stage = Stage("train", len(images), lambda _: None)
    views = TrainingViews(backend, 32, RECIPE.consistency, RECIPE.seed, 3, len(images))
    loss = CcdLoss(table, marks.float(), 1.0)
    found = fit.fit_epoch(Trainer(net, RECIPE.train, 32), images, marks, views, loss, stage, None, sample)
    return net, found, stage


@pytest.mark.parametrize("backend", installed_backends())
def test_work_ahead_changes_no_bit(images, monkeypatch, backend):
    threads = []
    real = fit.prefetched
    monkeypatch.setattr(fit, "prefetched", lambda items, depth, device: threads.append(depth) or real(items, depth))
    monkeypatch.setattr(fit, "works_ahead", lambda device: True)
    net, found, _ = epoch(images, open_backend(backend, 2))
    assert threads == [fit.AHEAD]
    monkeypatch.undo()
    plain, expected, _ = epoch(images, open_backend(backend, 2))
    assert found.loss == expected.loss
    assert torch.equal(found.predicted, expected.predicted)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), plain.state_dict().values(), strict=True))


def test_of_a_sample_alone_probabilities_are_kept(images):
    sample = torch.tensor([0, 2, 3, 7, 20])
    _, some, _ = epoch(images, open_backend("pillow", 1), sample)
    _, every, _ = epoch(images, open_backend("pillow", 1))
    assert torch.equal(some.predicted, every.predicted[sample])
    assert some.predicted[[0, 2, 3, 4]].all()
    assert not some.predicted[1].any()  # it cannot be read


def test_an_epoch_decodes_each_readable_image_once_for_both_views(images, monkeypatch):
    backend, decoded = open_backend("pillow", 1), []
    real = backend.decode
    monkeypatch.setattr(backend, "decode", lambda files, rows: decoded.extend(rows.tolist()) or real(files, rows))
    _, found, stage = epoch(images, backend)
    assert sorted(decoded) == [row for row in range(len(images)) if row != 2]
    assert stage.done == len(images) - 1
    assert np.flatnonzero((found.predicted == 0).all(dim=1)).tolist() == [2]
    assert set(stage.parts) == {"decode", "views", "student"}


class Watched(Trainer):
    """Notes what each step is taken on, and takes none."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.steps = []

    def step(self, first, second, rows, loss, share=1.0):
        self.steps.append((first, second, rows))
        return 0.0, torch.zeros(len(first), 4)


@pytest.mark.parametrize("consistent", [True, False])
def test_each_step_sees_the_views_of_its_own_images(images, consistent):
    knobs = ["consistency.color_jitter=0.3", "consistency.hue_jitter=0.1", "seed=2"]
    recipe = config.load("folder", ["student.image_size=32", "train.batch_size=5", *knobs])
    size, backend = len(images), open_backend("pillow", 1)
    all_of_them = torch.ones(size, dtype=torch.bool)
    watched = Watched(student.build("test_resnet", 4, 3.0, "none"), recipe.train, 32)
    views = TrainingViews(backend, 32, recipe.consistency, recipe.seed, 3, size)
    loss = CcdLoss(torch.rand(size, 4), mu=1.0 if consistent else 0.0)
    fit.fit_epoch(watched, images, all_of_them, views, loss, Stage("train", size, lambda _: None))

    order = randomness.order(2, 3, size)
    flips = randomness.uniform(2, 3, Purpose.FLIP, size, 2) < 0.5
    factors = jitter_factors(randomness.uniform(2, 3, Purpose.JITTER, size, 4), 0.3, 0.1)
    assert [len(step[0]) for step in watched.steps] == [5, 5, 5, 5, 4]
    for rows, (first, second, own) in zip(np.split(order, range(5, size, 5)), watched.steps, strict=True):
        whole = backend.whole(backend.decode(images.files(rows), rows), 32, "bilinear")
        assert torch.equal(first, flipped(whole, flips[rows, 0]))
        assert own.tolist() == rows.tolist()
        if consistent:
            assert torch.equal(second, backend.jitter(flipped(whole, flips[rows, 1]), factors[rows]))
        else:
            assert second is None
