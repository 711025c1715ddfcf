"""What frozen networks have seen is not computed again, and nothing else changes."""

import pytest
import torch
from rich.console import Console

from ccd_fast.datasets import Source
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.student import network as student
from ccd_fast.training.memory import Memory
from ccd_fast.training.run import train

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
def test_trainings_with_a_memory_give_what_they_give_without(photo_folder, tiny_clip, tmp_path):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    recipe = config.load("folder", [*OVERRIDES, f"teacher.model='''{tiny_clip}'''"])
    quiet = Stages(Console(quiet=True))
    memory = Memory(2**30)
    runs = {"without": None, "first": memory, "second": memory}
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
