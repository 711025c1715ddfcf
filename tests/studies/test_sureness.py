"""Intervals of a table, of runs that are made up but for their scores."""

import dataclasses

import numpy as np
import pytest
import torch

from ccd_fast.datasets import ImageSet
from ccd_fast.errors import UserError
from ccd_fast.evaluation import evaluate_images, paired, scores
from ccd_fast.recipes import config
from ccd_fast.report import comparison as page
from ccd_fast.runs import RunFolder
from ccd_fast.studies import ablation, comparison, notes, sureness
from ccd_fast.studies.cells import Cell
from ccd_fast.studies.variants import FULL
from ccd_fast.training import CHOSEN, LAST, ORACLE, TEACHER

NAMES = ("cat", "dog", "axolotl")
STAGES = {"train": {"images": 8, "crops": 0, "seconds": 5.0}}


@pytest.fixture
def images(tmp_path):
    truth = np.random.default_rng(0).random((60, 3)) < 0.4
    truth[:, 2] = np.arange(60) < 2
    paths = tuple(f"{row}.jpg" for row in range(60))
    return ImageSet("folder", "test", tmp_path, paths, NAMES, NAMES, truth, np.ones(60, dtype=bool))


def run(folder, images, tables):
    """Write what a run leaves that a table asks for."""
    place, readable = RunFolder(folder), torch.ones(len(images), dtype=torch.bool)
    folder.mkdir()
    place.write_json("run.json", {"class_names": NAMES})
    measured = {}
    for name, table in tables.items():
        scores.save(place, name, images, table, readable)
        measured[name] = evaluate_images(table, images, readable, 0.5).record()
    return measured


@pytest.fixture
def cells(images, tmp_path):
    """Two seeds, whose students know a little, beside a teacher that knows nothing."""
    noise = [torch.rand(60, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    truth, found = torch.from_numpy(images.truth), []
    for seed in (0, 1):
        tables = {CHOSEN: 0.3 * truth + 0.7 * noise[seed], f"{TEACHER}, test": noise[2]}
        folder = tmp_path / f"seed-{seed}"
        summary = {"metrics": run(folder, images, tables), "stages": STAGES, "chosen_epoch": 1}
        found.append(Cell(FULL, seed, folder, summary))
    return found


def test_a_row_s_interval_is_of_its_mean_over_seeds_and_paired_with_the_teacher(cells, images):
    students, teachers = (
        [scores.read(cell.folder, name, NAMES).table for cell in cells] for name in (CHOSEN, f"{TEACHER}, test")
    )
    gain = paired(students, teachers, torch.from_numpy(images.truth))
    table = ablation.components(cells)
    teacher, full = (dict(zip(table.head(), row, strict=True)) for row in table.texts())
    assert full["above the teacher"] == f"{100 * gain.value:+.1f} ({100 * gain.low:.1f} … {100 * gain.high:.1f})"
    assert full["95% interval"].count(" … ") == 1
    assert (teacher["above the teacher"], teacher["95% interval"] != "–") == ("–", True)


def test_the_table_of_systems_and_its_chart_have_the_same_intervals(cells):
    wanted = dict(zip(ablation.components(cells).head(), ablation.components(cells).texts()[-1], strict=True))
    of_all = dict.fromkeys((LAST, ORACLE), cells[0].summary["metrics"][CHOSEN])
    own = [
        dataclasses.replace(
            cell, row="CCD", summary={**cell.summary, "metrics": {**cell.summary["metrics"], **of_all}, "epochs": 1}
        )
        for cell in cells
    ]
    table = comparison.table(own)
    teacher, ccd = (dict(zip(table.head(), row, strict=True)) for row in table.texts())
    for column in ("95% interval", "above the teacher"):
        assert ccd[column] == wanted[column] != "–"
    assert (teacher["above the teacher"], teacher["95% interval"] != "–") == ("–", True)
    chart = page.render(table).split("<h2>The table</h2>")[0]
    assert ccd["95% interval"] in chart
    assert "at the best epoch by the test labels" in chart
    assert "above the teacher" not in chart


def test_the_same_scores_are_drawn_once(cells, monkeypatch):
    calls = []
    monkeypatch.setattr(sureness, "_done", {})
    monkeypatch.setattr(sureness, "resampled_maps", lambda *given: calls.append(1) or drawn(*given))
    ablation.components(cells)
    assert len(calls) == 3  # two students; the teacher is the same in both runs


drawn = sureness.resampled_maps


def test_runs_of_other_images_or_without_scores_have_no_interval(cells, images, tmp_path):
    fewer = dataclasses.replace(images, paths=tuple(f"other {path}" for path in images.paths))
    scores.save(RunFolder(cells[1].folder), CHOSEN, fewer, torch.rand(60, 3), torch.ones(60, dtype=torch.bool))
    table = ablation.components(cells)
    assert dict(zip(table.head(), table.texts()[-1], strict=True))["95% interval"] == "–"


def test_classes_with_few_positives_are_left_out_of_every_figure(cells, images):
    less = [dataclasses.replace(cell, min_positives=10) for cell in cells]
    for cell, before in zip(less, cells, strict=True):
        assert list(cell.test.average_precision) == ["cat", "dog"]
        by_class = [before.test.average_precision[name] for name in ("cat", "dog")]
        assert cell.test.mean_average_precision == pytest.approx(np.mean(by_class))
    truth = torch.from_numpy(images.truth)
    told = dict(zip(ablation.components(less).head(), ablation.components(less).texts()[-1], strict=True))
    students, teachers = (
        [scores.read(cell.folder, name, NAMES).table for cell in cells] for name in (CHOSEN, f"{TEACHER}, test")
    )
    gain = paired(students, teachers, truth, min_positives=10)
    assert told["above the teacher"].startswith(f"{100 * gain.value:+.1f} ({100 * gain.low:.1f}")


def test_an_older_run_cannot_leave_a_class_out(cells):
    (cells[0].folder / scores.name_of(CHOSEN)).unlink()
    with pytest.raises(UserError, match="has kept no scores"):
        _ = dataclasses.replace(cells[0], min_positives=10).test


def test_the_notes_name_the_classes_with_few_positives(images):
    recipe = config.load("folder")
    said = "\n".join(notes.notes(recipe, "folder", images, images, [0]))
    assert sureness.NOTE in said
    assert "With fewer than 10 positives, so that" in said
    assert "them out): axolotl (2)." in said
    said = "\n".join(notes.notes(recipe, "folder", images, images, [0], min_positives=10))
    assert "Left out, with fewer than 10 positives (--min-positives): axolotl (2)." in said
