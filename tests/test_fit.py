"""An epoch of training by itself."""

import numpy as np
import pytest
import torch

from ccd_fast import config, fit, student
from ccd_fast.datasets import Source
from ccd_fast.progress import Stage
from ccd_fast.pseudo_labels import PseudoLabels
from ccd_fast.trainer import Trainer
from ccd_fast.views import installed_backends, open_backend

RECIPE = config.load("folder", ["student.image_size=32", "train.batch_size=5"])


@pytest.fixture(scope="module")
def images(photo_folder):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    return source.load("train")


def epoch(images, backend):
    net = student.build("test_resnet", 4, 3.0, "none")
    marks = torch.ones(len(images), dtype=torch.bool)
    marks[2] = False
    table = torch.rand(len(images), 4, generator=torch.Generator().manual_seed(0))
    labels = PseudoLabels(table, torch.full((4,), 0.5), torch.ones(4, dtype=torch.int64), marks, marks)
    stage = Stage("train", len(images), lambda _: None)
    found = fit.fit_epoch(Trainer(net, RECIPE), images, labels, backend, 3, True, RECIPE, stage)
    return net, found, stage


@pytest.mark.parametrize("backend", installed_backends())
def test_work_ahead_changes_no_bit(images, monkeypatch, backend):
    threads = []
    real = fit.prefetched
    monkeypatch.setattr(fit, "prefetched", lambda items, depth, device: threads.append(depth) or real(items, depth))
    monkeypatch.setattr(fit, "works_ahead", lambda device: True)
    net, (loss, probabilities, _), _ = epoch(images, open_backend(backend, 2))
    assert threads == [fit.AHEAD]
    monkeypatch.undo()
    plain, (plain_loss, plain_probabilities, _), _ = epoch(images, open_backend(backend, 2))
    assert loss == plain_loss
    assert torch.equal(probabilities, plain_probabilities)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), plain.state_dict().values(), strict=True))


def test_an_epoch_decodes_each_readable_image_once_for_both_views(images, monkeypatch):
    backend, decoded = open_backend("pillow", 1), []
    real = backend.decode
    monkeypatch.setattr(backend, "decode", lambda files, rows: decoded.extend(rows.tolist()) or real(files, rows))
    _, (_, probabilities, _), stage = epoch(images, backend)
    assert sorted(decoded) == [row for row in range(len(images)) if row != 2]
    assert stage.done == len(images) - 1
    assert np.flatnonzero((probabilities == 0).all(dim=1)).tolist() == [2]
    assert set(stage.parts) == {"decode", "views", "student"}
