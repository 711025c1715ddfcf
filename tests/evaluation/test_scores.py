import dataclasses

import numpy as np
import pytest
import torch

from ccd_fast.datasets import ImageSet
from ccd_fast.errors import UserError
from ccd_fast.evaluation import scores
from ccd_fast.runs import RunFolder

NAMES = ("cat", "path", "truth")


@pytest.fixture
def images(tmp_path):
    truth = np.array([[True, False, True], [False, False, False], [False, True, False], [True, True, True]])
    known = np.array([True, True, True, False])
    return ImageSet("folder", "test", tmp_path, ("a", "b", "c", "d"), NAMES, NAMES, truth, known)


def test_what_is_read_back_is_what_could_be_read(images, tmp_path):
    table, readable = torch.rand(4, 3), torch.tensor([True, False, True, True])
    scores.save(RunFolder(tmp_path), "zero-shot teacher, test", images, table, readable)
    assert [file.name for file in (tmp_path / "scores").iterdir()] == ["zero-shot-teacher-test.parquet"]
    found = scores.read(tmp_path, "zero-shot teacher, test", NAMES)
    assert found.paths == ("a", "c", "d")
    assert torch.equal(found.table, table[readable])
    assert found.known.tolist() == [True, True, False]
    assert found.truth[:2].tolist() == [[True, False, True], [False, True, False]]
    scores.copy(RunFolder(tmp_path), "zero-shot teacher, test", "another")
    assert torch.equal(scores.read(tmp_path, "another", NAMES).table, found.table)


def test_scores_of_some_images_stand_in_their_order(images, tmp_path):
    table = torch.arange(12).reshape(4, 3) / 12
    scores.save(RunFolder(tmp_path), "x", dataclasses.replace(images, truth=None), table, torch.ones(4, dtype=bool))
    found = scores.read(tmp_path, "x", NAMES)
    assert not found.known.any()
    assert torch.equal(found.of(["c", "a"]).table, table[[2, 0]])
    assert found.of(["c", "e"]) is None
    first, second = found.of(["a", "b"]), found.of(["b", "d"])
    assert torch.equal(first.joined([second]).of(["d"]).table, table[[3]])
    assert {name: each.paths for name, each in scores.common({"1": first, "2": second}).items()} == {
        "1": ("b",),
        "2": ("b",),
    }


def test_an_older_run_has_none_and_a_damaged_file_is_refused(tmp_path):
    assert scores.read(tmp_path, "x", NAMES) is None
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "x.parquet").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="not what a run"):
        scores.read(tmp_path, "x", NAMES)
