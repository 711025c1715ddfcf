"""Tables in mapped files: the same on any number of processes, and nothing lost where one of them ends."""

import errno
import os
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ccd_fast.errors import RunError, UserError
from ccd_fast.machine import blocks as blocks_module
from ccd_fast.machine.ranks import Ranks
from ccd_fast.runs import free, mapped_tables
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.mapped_tables import BELOW_ONE, Mapped, half, open_tables
from ccd_fast.runs.tables import InMemory

SHAPE = (37, 5)
WANTED = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
WANTED[3, 1], WANTED[4, 2] = 1.0, 0.0


class Thread(Ranks):
    """A process that is a thread here: it waits for the others, and that is all that mapped tables ask."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier) -> None:
        super().__init__(rank, size)
        self.barrier = barrier

    def wait(self) -> None:
        self.barrier.wait(20)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks_module, "NUMBERS", 20)  # four rows


@pytest.fixture
def folder(tmp_path):
    found = RunFolder(tmp_path / "run")
    found.create(overwrite=False)
    return found


def of_each(path: Path, size: int, work) -> list:
    """Let so many processes work on the tables of a folder; give what each gives."""
    barrier, found = threading.Barrier(size), [None] * size

    def run(rank: int) -> None:
        try:
            found[rank] = work(Mapped(RunFolder(path, Thread(rank, size, barrier))))
        except Exception:
            barrier.abort()
            raise

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def names(folder: RunFolder) -> list[str]:
    return sorted(file.name for file in (folder.path / "labels").iterdir())


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_label_table_is_the_same_file_whatever_the_number_of_processes(folder, size):
    asked = []

    def work(mapped):
        return mapped.made(SHAPE, lambda block: asked.append(block) or WANTED[block], unit=4)

    found = of_each(folder.path, size, work)
    assert len(asked) == 10  # no row is made twice
    assert all(torch.equal(table, half(WANTED)) for table in found)
    assert np.array_equal(np.load(folder.path / "labels" / "table-001.npy"), half(WANTED).numpy())
    assert names(folder) == ["table-001.npy"]


@pytest.mark.parametrize("size", [1, 3])
def test_a_scratch_table_has_the_rows_of_all_processes_and_goes_on_with_its_own(folder, size):
    kept = {}

    def first(mapped):
        own = list(mapped.ranks.share(37, 4))
        table = mapped.scratch(SHAPE, 4)
        assert not table.any()
        table[own[:-3]] = WANTED[own[:-3]]
        kept[mapped.ranks.rank] = mapped.kept(table)

    def then(mapped):
        own = list(mapped.ranks.share(37, 4))
        table = mapped.scratch(SHAPE, 4, kept[mapped.ranks.rank])
        table[own[-3:]] = WANTED[own[-3:]]
        return mapped.together(table, 4)

    of_each(folder.path, size, first)
    assert all(isinstance(name, str) for name in kept.values())
    found = of_each(folder.path, size, then)
    assert all(torch.equal(table, WANTED) for table in found)
    assert all(torch.equal(table, WANTED) for table in of_each(folder.path, size, then))  # killed after it was together


@pytest.mark.parametrize("where", [InMemory, Mapped])
def test_gathered_rows_go_on_behind_those_that_were_kept(folder, where):
    make = partial((where(folder) if where is Mapped else where()).gathered, 5, torch.device("cpu"))
    rows = make()
    assert rows.whole().shape == (0, 5)
    rows.add(WANTED[:7])
    rows.add(WANTED[7:20])
    kept = rows.kept()
    assert isinstance(kept, str) == (where is Mapped)
    rows.add(WANTED[:9])  # what came after it is lost
    again = make(kept, 20)
    again.add(WANTED[20:])
    assert torch.equal(again.whole(), WANTED)


def test_what_a_pass_was_to_go_on_with_and_is_gone_is_a_line(folder):
    for begin in (Mapped(folder).scratch, Mapped(folder).gathered):
        given = (SHAPE, 1) if begin.__name__ == "scratch" else (5, torch.device("cpu"))
        with pytest.raises(UserError, match=r"\.scratch-01: is gone or damaged, and a pass was to go on with it"):
            begin(*given, "labels/.scratch-01", *([3] if begin.__name__ == "gathered" else []))
    (folder.path / "run.json").write_text("kept")
    with pytest.raises(UserError, match="no file of a pass is called so"):
        Mapped(folder).gathered(5, torch.device("cpu"), "../run.json", 0)
    assert (folder.path / "run.json").read_text() == "kept"


def test_what_is_not_sure_does_not_become_sure_in_half_precision():
    labels = torch.tensor([0.0, 1.0, 0.99999, BELOW_ONE, 0.3])
    found = half(labels)
    assert found.tolist()[:4] == [0.0, 1.0, BELOW_ONE, BELOW_ONE]
    assert (found.float() - labels).abs().max() <= 2**-11


def test_a_table_that_a_checkpoint_names_stays_and_all_else_goes(folder):
    mapped = Mapped(folder)
    first, second = (mapped.made(SHAPE, lambda block: WANTED[block]) for _ in range(2))
    mapped.kept(mapped.scratch(SHAPE))
    left = [".table-003.npy.tmp", ".table-003.npy.1-of-2", "..table-003.npy.1-of-2.tmp", ".scratch-07.0-of-2"]
    for name in (*left, "mine.txt"):
        (folder.path / "labels" / name).write_bytes(b"of a run that was killed")
    again = Mapped(RunFolder(folder.path))
    assert torch.equal(again.found(mapped.kept(second)), second)
    again.sweep([mapped.kept(second), torch.zeros(3)])
    assert names(folder) == ["mine.txt", "table-002.npy"]
    third = again.made(SHAPE, lambda block: WANTED[block] / 2)  # a killed update's file is no table
    assert again.kept(third) == "labels/table-003.npy"
    assert torch.equal(again.found("labels/table-002.npy"), second)
    assert first.shape == SHAPE


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_where_the_disk_is_full_a_line_says_so_and_the_last_table_is_whole(folder, monkeypatch):
    mapped = Mapped(folder)
    before = mapped.kept(mapped.made(SHAPE, lambda block: WANTED[block]))
    calls = iter(range(9))
    with pytest.raises(RunError, match=r"table-002\.npy: cannot be written: No space left .* go on with --resume"):
        mapped.made(SHAPE, lambda block: full() if next(calls) == 3 else WANTED[block])
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RunError, match=r"scratch-01: cannot be written: No space left .* go on with --resume"):
        mapped.scratch(SHAPE)
    assert names(folder) == ["table-001.npy"]
    assert torch.equal(Mapped(folder).found(before), half(WANTED))


@pytest.mark.parametrize("name", ["labels/table-001.npy", "labels/table-009.npy", "../../table-001.npy", "run.json"])
def test_a_table_that_is_gone_or_none_is_a_line(folder, name):
    Mapped(folder).made(SHAPE, lambda block: WANTED[block])
    file = folder.path / "labels" / "table-001.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="not the label table that the checkpoint of the run names"):
        Mapped(folder).found(name)


def test_of_a_large_table_evenly_spread_rows_are_looked_at(folder, monkeypatch):
    mapped = Mapped(folder)
    assert mapped.sample(SHAPE).tolist() == list(range(37))
    monkeypatch.setattr(mapped_tables, "SAMPLE", 5 * 12)
    assert mapped.sample(SHAPE).tolist() == list(range(0, 36, 3))
    assert InMemory().sample(SHAPE).tolist() == list(range(37))


def test_where_the_tables_live_is_said_and_a_disk_without_the_room_is_refused(folder, monkeypatch):
    said = []
    assert isinstance(open_tables("memory", folder, SHAPE, False, said.append), InMemory)
    assert not said
    assert isinstance(open_tables("mapped", folder, (10**6, 200), False, said.append), Mapped)
    assert said[0].startswith(f"label tables: mapped from {folder.path / 'labels'}, 381.5 MiB each (1,000,000 photo")
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr(free.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(UserError, match=r"take up to 1\.86 GiB, and 0\.931 GiB are free there: make room, or name"):
        open_tables("mapped", folder, (10**6, 200), False, said.append)
