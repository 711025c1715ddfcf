"""The paper's main table over systems: its rows, its groups, and the figures beside them."""

import dataclasses
import io

import pytest
from rich.console import Console
from test_tables import metrics

from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.recipes import config
from ccd_fast.report import comparison as page
from ccd_fast.runs import Stages
from ccd_fast.studies import Study, compare, comparison, paper
from ccd_fast.studies.cells import Cell
from ccd_fast.systems import SYSTEMS


def cell(name, seed, tmp_path, mean):
    named = ("student, chosen epoch, test", "student, last epoch, test", "zero-shot teacher, test")
    measured = {key: metrics(mean - place / 100) for place, key in enumerate(named)}
    measured["student, best epoch by the test labels (oracle), test"] = metrics(mean + 0.01)
    measured["first pseudo-labels, train"] = metrics(0.25)
    stages = {
        "first labels": {"images": 8, "crops": 0, "seconds": 2.0},
        "train": {"images": 8, "crops": 0, "seconds": 6.0},
    }
    summary = {"metrics": measured, "stages": stages, "chosen_epoch": 1, "epochs": 3}
    return Cell(comparison.ROWS[name][0], seed, tmp_path, summary)


def test_rows_stand_in_their_groups_with_ccd_in_three_of_them(tmp_path):
    names = ["cdul", "ccd", "bce", "ccd-partial", "llr", "ccd-one-positive"]
    table = comparison.table([cell(name, seed, tmp_path, 0.5) for seed in (0, 1) for name in names], "voc12", ["told"])
    found = list(zip(table.groups, [name for name, _ in table.rows], strict=True))
    assert found == [
        ("all labels", "BCE"),
        ("part of the labels", "CCD, with part of the labels"),
        ("one positive an image", "LL-R"),
        ("one positive an image", "CCD, with one positive an image"),
        ("annotation-free", "zero-shot teacher"),
        ("annotation-free", "CDUL"),
        ("annotation-free", "CCD"),
    ]
    texts = {row[0]: row[1:] for row in table.texts()}
    figures = ["50.0 ± 0.0", "–", "–", "49.0 ± 0.0", "51.0 ± 0.0", "25.0 ± 0.0", "2.0 ± 0.0", "8 ± 0", "88.6"]
    assert texts["CDUL"] == ["2", *figures]
    assert texts["zero-shot teacher"][:2] == ["2", "48.0 ± 0.0"]
    assert texts["CCD, with part of the labels"][-1] == "–"
    markdown = table.as_markdown().splitlines()
    titles = [line.split("|")[1].strip() for line in markdown if line.startswith("| **")]
    assert titles == [f"**{group}**" for group in comparison.GROUPS]
    assert table.as_csv().splitlines()[0].startswith("group,row,n,")
    assert table.as_csv().splitlines()[1].startswith("all labels,BCE,2,50.0000,")
    html = page.render(table)
    assert html.count("<h2>") == 5
    assert "G2NetPL" not in html


def test_no_figure_of_the_paper_stands_beside_another_data_set(tmp_path):
    table = comparison.table([cell("bce", 0, tmp_path, 0.5)], "folder")
    assert not any("paper" in title for title in table.head())
    assert not any("Paper" in note for note in table.notes)


def test_every_system_has_a_row_and_the_paper_s_figures_are_these():
    assert [*SYSTEMS, "ccd-partial", "ccd-one-positive"] == list(comparison.ROWS)
    assert paper.SYSTEMS.keys() == SYSTEMS.keys()
    assert {group for _, group, _ in comparison.ROWS.values()} == set(comparison.GROUPS)
    assert paper.SYSTEMS["llr"] == {"voc12": 89.7, "voc07": 90.6, "coco": 72.6, "nus": 47.4}
    assert "(reconstruction)" in comparison.ROWS["g2netpl"][0]


def test_a_table_sets_the_system_itself_and_says_what_is_not_as_published():
    recipe = config.load("folder")
    rows = comparison.variants(recipe, ["bce", "ccd-partial"], frozen=True)
    assert rows == {
        "BCE": ("system.name=bce", "train.backbone_learning_rate=0", "student.runtime=torch"),
        "CCD, with part of the labels": (
            *("system.name=ccd", "system.labels=partial"),
            *("train.backbone_learning_rate=0", "student.runtime=torch", "relabel.cache_grid=32"),
        ),
    }
    with pytest.raises(UserError, match="the table sets system"):
        comparison.variants(config.load("folder", ["system.name=role"]), ["bce"])
    own = config.load("folder", ["relabel.cache_grid=1"])
    assert "relabel.cache_grid=32" not in comparison.variants(own, ["ccd"], frozen=True)["CCD"]
    assert "grid of 32 pixels" in " ".join(comparison.notes(recipe, ["ccd"], frozen=True))
    assert "grid of 32 pixels" not in " ".join(comparison.notes(own, ["ccd"], frozen=True))
    assert "grid of 32 pixels" not in " ".join(comparison.notes(recipe, ["ccd"], frozen=False))
    told = " ".join(comparison.notes(recipe, ["sst"], frozen=False))
    assert "text embeddings" in told
    assert "CDUL:" not in told
    assert "frozen" not in told


@pytest.mark.usefixtures("cache")
def test_two_systems_are_compared_and_finished_ones_are_kept(photo_folder, tiny_clip, tmp_path):
    said = io.StringIO()
    knobs = ["student.backbone=test_resnet", "student.weights=none", "student.image_size=32", "train.epochs=1"]
    study = Study(
        Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv"),
        "folder",
        [f"teacher.model='{tiny_clip}'", "teacher.batch_size=8", *knobs],
        [0],
        tmp_path / "table",
        Stages(Console(file=said, width=200)),
    )
    table = compare(study, ["an", "asl"], frozen=True)
    assert [name for name, _ in table.rows] == ["ASL", "zero-shot teacher", "Naive AN"]
    assert (tmp_path / "table" / "compare.md").is_file()
    again = compare(study, ["an", "asl"], frozen=True)
    assert again.texts() == table.texts()
    assert "2 of 2 trainings are finished already" in said.getvalue()
    assert "views had been seen before" in said.getvalue()
    only_test = tmp_path / "test-only.csv"
    lines = study.source.truth.read_text().splitlines()
    only_test.write_text("\n".join(line for line in lines if ",train," not in line) + "\n")
    unlabelled = dataclasses.replace(study, source=dataclasses.replace(study.source, truth=only_test))
    with pytest.raises(
        UserError, match=r"bce, llr learn from known labels .*: give --truth FILE with .* --systems an,"
    ):
        compare(unlabelled, ["bce", "llr", "an"], frozen=True)
    without = dataclasses.replace(study, source=dataclasses.replace(study.source, truth=None))
    with pytest.raises(UserError, match="needs known labels"):
        compare(without, ["an"], frozen=True)
