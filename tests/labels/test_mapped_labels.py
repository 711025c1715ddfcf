"""Labels in mapped files are those in memory, but for their half precision; blocks of rows change no bit."""

import numpy as np
import pytest
import torch

from ccd_fast.labels import limits
from ccd_fast.labels.bias import bias_by_class
from ccd_fast.labels.table import FirstLabels, PseudoLabels, Update, apart, of_run, update_labels
from ccd_fast.machine import blocks as blocks_module
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.mapped_tables import Mapped
from ccd_fast.runs.tables import InMemory

IMAGES, CLASSES = 30, 6


@pytest.fixture
def folder(tmp_path):
    found = RunFolder(tmp_path / "run")
    found.create(overwrite=False)
    return found


def labels_of(tables, told=None, anchored=True):
    """Go from scores to labels that were updated twice."""
    generator = torch.Generator().manual_seed(0)
    first = FirstLabels(IMAGES, CLASSES, 2.0, tables=tables)
    rows = torch.arange(IMAGES - 1)  # the last one cannot be read
    first.add(rows, torch.randn((len(rows), CLASSES), generator=generator) * 2)
    if told is not None:
        first.count_known(told)
    labels = first.finish(0.02, 2, True)
    labels.told = told
    labels.pin(tables)
    if anchored:
        labels.anchor()
    for _ in range(2):
        owners = torch.randint(0, IMAGES - 1, (50,), generator=generator).sort().values
        seen = torch.softmax(2 * torch.randn((50, CLASSES), generator=generator), dim=1)
        update_labels(labels, owners, seen, Update(0.02, 0.5, (2.0, 1)), tables)
    return labels, first


def known():
    told = torch.zeros((IMAGES, CLASSES), dtype=torch.int8)
    told[::4, 0], told[::5, 2], told[IMAGES - 1] = 1, -1, 1
    return told


@pytest.mark.parametrize("told", [None, known()], ids=["", "told"])
@pytest.mark.parametrize("anchored", [False, True])
def test_mapped_labels_are_those_in_memory_within_half_precision(folder, told, anchored, monkeypatch):
    ours, _ = labels_of(InMemory(), told, anchored)
    monkeypatch.setattr(blocks_module, "NUMBERS", 4 * CLASSES)
    mapped = Mapped(folder)
    theirs, _ = labels_of(mapped, told, anchored)
    for name, table in ours.state().items():
        other = theirs.state()[name]
        if table.shape == (IMAGES, CLASSES) and name != "told":
            assert other.dtype == torch.float16
            assert 0 < (table - other.float()).abs().max() < 1e-3, name
            assert torch.equal(table == 1, other == 1), name
            assert isinstance(mapped.kept(other), str), name
        else:
            assert torch.equal(table, other), name
    if told is not None:
        assert theirs.table[told == 1].tolist() == [1.0] * 8 + [0.0] * CLASSES
        assert not theirs.table[told == -1].any()


def test_blocks_of_rows_change_no_bit_in_memory(monkeypatch):
    whole, first = labels_of(InMemory(), known())
    by_class = bias_by_class(first.scores, whole.table, first.confident, "abcdef")
    monkeypatch.setattr(blocks_module, "NUMBERS", 4 * CLASSES)
    parts, _ = labels_of(InMemory(), known())
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, parts.state()[name]), name
    assert bias_by_class(first.scores, whole.table, first.confident, "abcdef") == by_class


def test_how_far_two_tables_are_apart_is_the_mean_over_the_rows(monkeypatch):
    before, after = torch.rand(2, 10, 3).unbind()
    rows = torch.arange(10) % 3 > 0
    expected = float((after - before)[rows].abs().mean())
    assert apart(before, after, rows) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(blocks_module, "NUMBERS", 6)
    assert apart(before, after.half(), rows) == pytest.approx(expected, abs=1e-3)
    assert np.isnan(apart(before, after, torch.zeros(10, dtype=torch.bool)))


def test_a_checkpoint_holds_names_in_place_of_tables_and_is_read_back(folder):
    mapped = Mapped(folder)
    labels, _ = labels_of(mapped, known())
    kept = {name: mapped.kept(tensor) for name, tensor in labels.state().items()}
    assert {name for name, each in kept.items() if isinstance(each, str)} == {"table", "guess", "first"}
    folder.save_state({"labels": kept})
    mapped.sweep(kept.values())
    again = of_run(RunFolder(folder.path))
    for name, tensor in labels.state().items():
        assert torch.equal(getattr(again, name), tensor), name
    assert len(list((folder.path / "labels").iterdir())) == 3


def test_crops_out_of_order_are_refused():
    labels = PseudoLabels(torch.rand(4, 2), torch.ones(2), torch.ones(2), torch.ones(4).bool(), torch.ones(4).bool())
    with pytest.raises(ValueError, match="order of their images"):
        update_labels(labels, torch.tensor([2, 0]), torch.rand(2, 2), Update(0.0, 0.5))


def test_limits_of_half_precision_are_those_of_its_numbers():
    table = torch.rand((80, 3), generator=torch.Generator().manual_seed(0)).half()
    assert torch.equal(limits.by_class(table), limits.by_class(table.float()))
