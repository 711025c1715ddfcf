"""The label table on disk: whatever classes are called."""

import pytest
import torch

from ccd_fast.datasets import folder
from ccd_fast.labels import on_disk
from ccd_fast.labels.table import FirstLabels
from ccd_fast.runs import RunFolder

CLASSES = ("path", "status", "confident", "a.b", "a", "__filename")


@pytest.fixture
def saved(tmp_path):
    images = folder.unlabelled(tmp_path, CLASSES, ["1.jpg", "2.jpg"])
    gathered = FirstLabels(2, len(CLASSES), 2.0)
    gathered.readable[:] = torch.tensor([True, False])
    labels = gathered.finish(0.05, 1, False)
    labels.table[:] = torch.arange(12).reshape(2, 6) / 12
    run = RunFolder(tmp_path / "run")
    run.create(overwrite=False)
    on_disk.save(run, 0, images, labels)
    return on_disk.files(run.path)[0], labels.table


def test_classes_that_are_called_as_its_columns_hide_none_of_them(saved):
    file, table = saved
    assert on_disk.words(file, "path") == ["1.jpg", "2.jpg"]
    assert on_disk.words(file, "status") == ["labelled", "unreadable"]
    assert torch.equal(torch.from_numpy(on_disk.of_classes(file, len(CLASSES))), table)
