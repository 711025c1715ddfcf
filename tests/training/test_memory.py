"""What frozen networks have seen is not computed again, and nothing else changes."""

import io

import numpy as np
import pytest
import timm
import torch
from rich.console import Console
from safetensors.torch import save_file

from ccd_fast.datasets import Source
from ccd_fast.errors import RunError
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.student import engine as student_engine
from ccd_fast.student import network as student
from ccd_fast.training import memory as memory_module
from ccd_fast.training import passes
from ccd_fast.training.first_head import BATCH_SIZE
from ccd_fast.training.kept_views import KeptViews
from ccd_fast.training.memory import Memory
from ccd_fast.training.run import train
from ccd_fast.views.opening import open_backend

OVERRIDES = [
    "student.backbone=test_resnet",
    "student.weights=none",
    "student.image_size=64",
    "student.runtime=torch",
    "train.epochs=4",
    "train.backbone_learning_rate=0",
    "teacher.batch_size=4",
]


def counting(calls: list[int]):
    def double(rows: torch.Tensor) -> torch.Tensor:
        calls.append(len(rows))
        return 2.0 * rows

    return double


def test_only_new_rows_are_computed_and_all_come_in_order():
    memory, calls = Memory(2**20), []
    rows = torch.arange(12.0).reshape(6, 2)
    assert torch.equal(memory.rows(rows[:4], b"key", counting(calls)), 2 * rows[:4])
    mixed = rows[[5, 1, 0, 4]]
    assert torch.equal(memory.rows(mixed, b"key", counting(calls)), 2 * mixed)
    assert calls == [4, 2]
    assert (memory.asked, memory.found) == (8, 2)


def test_another_network_has_rows_of_its_own():
    memory, calls = Memory(2**20), []
    rows = torch.ones(2, 3)
    memory.rows(rows, b"one", counting(calls))
    memory.rows(rows, b"two", counting(calls))
    assert calls == [2, 2]


def test_beyond_the_budget_rows_are_computed_again():
    rows, calls = torch.arange(6.0).reshape(3, 2), []
    memory = Memory(budget=2 * rows[0].nbytes)
    for _ in range(2):
        assert torch.equal(memory.rows(rows, b"key", counting(calls)), 2 * rows)
    assert calls == [3, 1]
    assert memory.used == memory.budget
    assert memory.told().startswith("2 of 6 views had been seen before; 0.0 GiB kept; 2 more did not fit")


def test_features_belong_to_the_weights_that_made_them():
    memory = Memory(2**30)
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for seed in (0, 1):
        plain, attended = (student.build("test_resnet", 3, 3.0, "none", seed).eval() for _ in range(2))
        keys = set(attended.state_dict())
        memory.attend(attended)
        for _ in range(2):
            for ours, wanted in zip(attended(pixels), plain(pixels), strict=True):
                assert torch.allclose(ours, wanted, rtol=1e-4, atol=1e-5)
        assert set(attended.state_dict()) == keys
    assert (memory.asked, memory.found) == (12, 6)


@pytest.mark.usefixtures("cache")
def test_trainings_with_a_memory_give_what_they_give_without(photo_folder, tiny_clip, tmp_path, monkeypatch):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    recipe = config.load("folder", [*OVERRIDES, f"teacher.model='''{tiny_clip}'''"])
    quiet = Stages(Console(quiet=True))
    memory = Memory(2**30)
    runs = {"without": None, "first": memory, "second": memory}
    monkeypatch.setattr("ccd_fast.recipes.recipe.FEW_PHOTOGRAPHS", 0)  # a run of few has a memory of its own
    for name, kept in runs.items():
        train(source, recipe, RunFolder(tmp_path / name), quiet, memory=kept)
        if name == "first":
            asked, found = memory.asked, memory.found
    tables, heads = ([RunFolder(tmp_path / name).load_state()[part] for name in runs] for part in ("labels", "student"))
    for table, head in zip(tables[1:], heads[1:], strict=True):
        assert torch.allclose(table["table"], tables[0]["table"], atol=1e-4)
        assert torch.allclose(head["head.weight"], heads[0]["head.weight"], atol=1e-4)
    assert torch.equal(tables[1]["table"], tables[2]["table"])
    assert torch.equal(heads[1]["head.weight"], heads[2]["head.weight"])
    assert 0 < found < asked
    assert memory.found - found == memory.asked - asked, "the second training sees nothing new"


@pytest.fixture
def pretrained(tmp_path):
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.safetensors")
    return f"student.weights='{tmp_path / 'weights.safetensors'}'"


@pytest.mark.usefixtures("cache")
def test_a_run_over_few_photographs_trains_the_head_and_sees_each_view_once(
    photo_folder, tiny_clip, pretrained, tmp_path, monkeypatch
):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    own = ["train.backbone_learning_rate=auto", "student.runtime=auto", f"teacher.model='{tiny_clip}'", pretrained]
    recipe = config.load("folder", [*OVERRIDES, *own])
    computed, said = [], io.StringIO()
    counted = memory_module.in_fixed_batches
    monkeypatch.setattr(
        memory_module, "in_fixed_batches", lambda new, *more: (computed.append(len(new)), counted(new, *more))[1]
    )
    monkeypatch.setattr(student_engine, "PAYS_FROM", 1)
    monkeypatch.setattr(passes, "LASTS", 1)  # operations are counted, as for a run that lasts
    stages = Stages(Console(file=said, width=200))
    train(source, recipe, RunFolder(tmp_path / "whole"), stages)
    trained = RunFolder(tmp_path / "whole").load_student("last")
    fresh = student.build("test_resnet", 4, 3.0, str(tmp_path / "weights.safetensors")).state_dict()
    assert {name for name in fresh if not torch.equal(fresh[name], trained[name])} == {"head.weight", "head.bias"}
    assert "of so few photographs (24) only the student's last layer learns" in said.getvalue()
    filling = -24 % BATCH_SIZE  # of a call
    assert 24 <= sum(computed) <= 2 * 24 + 12 + filling, "plain and flipped, and the test photographs"
    train(source, recipe, RunFolder(tmp_path / "stopped"), stages, until=2)
    train(source, recipe, RunFolder(tmp_path / "stopped"), stages, resume=True)
    again = RunFolder(tmp_path / "stopped").load_student("last")
    assert all(torch.equal(again[name], trained[name]) for name in trained)


@pytest.mark.usefixtures("cache")
def test_a_frozen_student_on_an_engine_is_remembered_in_training(photo_folder, tiny_clip, pretrained, tmp_path):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    own = ["student.runtime=onnxruntime", "train.epochs=3", f"teacher.model='{tiny_clip}'", pretrained]
    memory = Memory(2**30)
    for kept in (None, memory):
        folder = RunFolder(tmp_path / f"run-{kept is None}")
        train(source, config.load("folder", [*OVERRIDES, *own]), folder, Stages(Console(quiet=True)), memory=kept)
        assert folder.read_json("run.json")["student_runtime"] == "onnxruntime"
    assert memory.asked >= 3 * 24


class CountingViews:
    """A backend that counts what it decodes."""

    def __init__(self):
        self._own = open_backend("pillow", 1)
        self.name, self.device, self.decoded = self._own.name, self._own.device, []

    def decode(self, files, rows):
        self.decoded.append(len(files))
        return self._own.decode(files, rows)

    def __getattr__(self, name):
        return getattr(self._own, name)


@pytest.fixture
def files(photo_folder, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    return [*sorted(photo_folder.rglob("*.jpg"))[:3], tmp_path / "broken.jpg"]


def test_photographs_that_were_seen_are_not_decoded_again_but_for_their_crops(files):
    backend, rows = CountingViews(), np.array([4, 7, 2, 9])
    wanted = backend.decode(files, rows)
    views = backend.whole(wanted, 48, "bilinear")
    owner, boxes = np.array([0, 2]), np.array([[3, 4, 40, 50], [0, 0, 20, 30]])
    crops = backend.crop(wanted, owner, boxes, 32, "bicubic")
    memory = Memory(2**20)
    backend.decoded.clear()
    for times in (1, 2):
        kept = KeptViews(backend, memory, "")
        found = kept.decode(files, rows)
        assert found.rows.tolist() == wanted.rows.tolist()
        assert found.sizes.tolist() == wanted.sizes.tolist()
        assert found.unreadable == wanted.unreadable
        assert torch.equal(kept.whole(found, 48, "bilinear"), views)
        assert backend.decoded == [4]
        if times == 2:
            assert torch.equal(kept.crop(found, owner, boxes, 32, "bicubic"), crops)
            assert backend.decoded == [4, 3]
    some = KeptViews(backend, memory, "").decode(files[1:], rows[1:])
    assert torch.equal(KeptViews(backend, memory, "").whole(some, 48, "bilinear"), views[1:])
    assert memory.used == views.nbytes


def test_a_batch_that_cannot_be_read_is_none_the_next_time_either(files):
    memory = Memory(2**20)
    for _ in range(2):
        kept = KeptViews(CountingViews(), memory, "")
        found = kept.decode(files[3:], np.array([9]))
        assert (len(found), list(found.unreadable)) == (0, [9])
        assert kept.whole(found, 48, "bilinear").shape == (0, 48, 48, 3)


def test_views_of_another_side_filter_or_backend_and_views_beyond_the_budget_are_made_anew(files):
    backend, rows = CountingViews(), np.arange(4)
    for memory, whole in (
        (Memory(2**20), (48, "bicubic")),
        (Memory(2**20), (32, "bilinear")),
        (Memory(0), (48, "bilinear")),
    ):
        for size, interpolation in ((48, "bilinear"), whole):
            kept = KeptViews(backend, memory, "")
            found = kept.whole(kept.decode(files, rows), size, interpolation)
            assert torch.equal(found, backend.whole(backend.decode(files, rows), size, interpolation))
    other = KeptViews(backend, memory, "of another kind")
    before = len(backend.decoded)
    other.decode(files, rows)
    assert len(backend.decoded) == before + 1


def test_a_photograph_that_has_gone_is_told_of_where_its_crops_are_wanted(files, tmp_path):
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(files[0].read_bytes())
    memory = Memory(2**20)
    KeptViews(CountingViews(), memory, "").decode([gone, files[1]], np.arange(2))
    gone.unlink()
    kept = KeptViews(CountingViews(), memory, "")
    with pytest.raises(RunError, match=r"gone\.jpg: could be read before"):
        kept.crop(kept.decode([gone, files[1]], np.arange(2)), np.array([1]), np.array([[0, 0, 9, 9]]), 32, "bicubic")
