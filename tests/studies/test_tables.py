"""What stands in which table, of trainings that are made up."""

import dataclasses

import pytest

from ccd_fast.datasets import load
from ccd_fast.errors import UserError
from ccd_fast.recipes import config
from ccd_fast.recipes.knobs import BACKBONE_RATE
from ccd_fast.studies import ablation, notes, paper, reproduction
from ccd_fast.studies.cells import Cell
from ccd_fast.studies.variants import (
    COMPONENTS,
    CONSISTENCY,
    FROZEN,
    FULL,
    IN_FULL,
    VIEWS,
    WITHOUT_DEBIAS,
    slug,
    variants,
)


def metrics(mean, **by_class):
    shares = dict.fromkeys(
        ("class_precision", "class_recall", "class_f1", "overall_precision", "overall_recall", "overall_f1"), mean / 2
    )
    return {"mean_average_precision": mean, "average_precision": by_class, "without_positives": [], **shares} | {
        "threshold": 0.5,
        "images": 9,
    }


def cell(row, seed, tmp_path, mean, labels=None, **by_class):
    measured = {"student, chosen epoch, test": metrics(mean, **by_class), "zero-shot teacher, test": metrics(0.25)}
    if labels is not None:
        measured["pseudo-labels after the updates, train"] = metrics(labels)
    measured["first pseudo-labels, train"] = metrics(0.125)
    stages = {
        "first labels": {"images": 8, "crops": 0, "seconds": 2.0},
        "train": {"images": 8, "crops": 0, "seconds": 5.0},
    }
    stages["relabel"] = {"images": 8, "crops": 24, "seconds": 1.0}
    return Cell(row, seed, tmp_path, {"metrics": measured, "stages": stages, "chosen_epoch": 1})


def rows_of(table):
    return {row[0]: dict(zip(table.head()[1:], row[1:], strict=True)) for row in table.texts()}


def test_the_components_stand_in_the_paper_s_order_beside_its_figures(tmp_path):
    cells = [cell(row, seed, tmp_path, 0.5 + seed / 10, labels=0.75) for seed in (0, 1) for row in COMPONENTS]
    table = ablation.components(cells, "voc12", ["note"])
    rows = rows_of(table)
    assert list(rows) == ["zero-shot teacher", *list(COMPONENTS)[1:], FULL]
    assert rows[FULL]["test mAP, %"] == "55.0 ± 7.1"
    assert rows[FULL]["pseudo-labels, train mAP, %"] == "75.0 ± 0.0"
    assert rows["zero-shot teacher"]["test mAP, %"] == "25.0 ± 0.0"
    assert rows["zero-shot teacher"]["seconds"] == "2 ± 0"
    assert rows["update"]["seconds"] == "8 ± 0"
    assert [row["paper, test mAP, %"] for row in rows.values()] == ["–", "86.4", "88.7", "89.4", "88.8", "90.1"]
    assert table.notes == ("note", paper.AS_PUBLISHED)


def test_no_figure_of_the_paper_stands_beside_another_data_set(tmp_path):
    cells = [cell(row, 0, tmp_path, 0.5, bottle=0.5) for row in COMPONENTS]
    for name in ("folder", "coco2017", ""):
        tables = ablation.make(("components", "classes", "views"), cells, name, [], has_boxes=True)
        assert not any("paper" in title.lower() for table in tables for title in (*table.head(), *table.notes))
    assert rows_of(ablation.components(cells, "coco"))[FULL]["paper, test mAP, %"] == "70.3"
    assert rows_of(ablation.components(cells, "coco"))["update"]["paper, test mAP, %"] == "–"


def test_debiasing_is_compared_class_by_class_and_seed_by_seed(tmp_path):
    cells = [
        cell(FULL, 0, tmp_path, 0.5, bottle=0.5, cat=0.5),
        cell(FULL, 1, tmp_path, 0.7, bottle=0.7, cat=0.7),
        cell(WITHOUT_DEBIAS, 0, tmp_path, 0.4, bottle=0.25, cat=0.6),
        cell("update", 0, tmp_path, 0.1, bottle=0.1, cat=0.1),
    ]
    rows = rows_of(ablation.classes(cells, "voc12"))
    assert rows["bottle"]["without debias, AP, %"] == "25.0"
    assert rows["bottle"]["with, AP, %"] == "60.0 ± 14.1"
    assert rows["bottle"]["with − without"] == "25.0"  # of the one seed that has both
    assert rows["cat"]["with − without"] == "-10.0"
    assert rows["mean over classes (mAP)"]["with − without"] == "10.0"
    assert (rows["bottle"]["paper, without, %"], rows["bottle"]["paper, with, %"]) == ("77.0", "77.6")
    assert (rows["cat"]["paper, without, %"], rows["cat"]["paper, with, %"]) == ("–", "–")


def test_views_name_what_is_left_out_without_boxes(tmp_path):
    cells = [cell(row, 0, tmp_path, 0.5, labels=0.6) for row in (*VIEWS.values(), FULL, IN_FULL) if "boxes" not in row]
    table = ablation.views(cells, has_boxes=False)
    rows = rows_of(table)
    assert list(rows) == [VIEWS["whole"], VIEWS["grid"], VIEWS["cam"], f"{VIEWS['cam']}, trained in full"]
    assert rows[VIEWS["grid"]]["crops an image"] == "3.0"
    assert "Left out, as no boxes of the objects are known" in table.notes[-1]
    assert "Left out" not in " ".join(ablation.views(cells, has_boxes=True).notes)


def test_the_line_of_the_paper_has_its_rivals_and_the_figures_of_the_data_set(tmp_path):
    table = reproduction.table("voc07", [cell(FULL, 0, tmp_path, 0.5)], ["note"])
    rows = rows_of(table)
    assert {name: row["paper, test mAP, %"] for name, row in rows.items()} == {
        "fully labelled, BCE": "91.3",
        "fully labelled, BCE with label smoothing": "92.6",
        "CDUL (unsupervised)": "89.0",
        "zero-shot teacher": "–",
        "CCD (unsupervised)": "91.0",
    }
    assert [row[1] for row in table.texts()] == ["–", "–", "–", "1", "1"]
    assert rows["CCD (unsupervised)"]["test mAP, %"] == "50.0"
    assert reproduction.WITHOUT_VALUES in table.notes
    assert reproduction.WITHOUT_VALUES not in reproduction.table("voc12", [], []).notes


def test_every_figure_of_the_paper_is_the_published_one():
    """Test mAP on VOC12, VOC07, COCO and NUS; the ablation, and AP without and with debias, on VOC12."""
    lines = {name: [figures[d] for d in ("voc12", "voc07", "coco", "nus")] for name, figures in paper.TEST_MAP.items()}
    assert lines == {
        "fully labelled, BCE": [90.1, 91.3, 78.5, 50.7],
        "fully labelled, BCE with label smoothing": [91.6, 92.6, 79.4, 51.7],
        "CDUL (unsupervised)": [88.6, 89.0, 69.2, 44.0],
        "CCD (unsupervised)": [90.1, 91.0, 70.3, 44.5],
    }
    assert [paper.COMPONENTS[row]["voc12"] for row in (*list(COMPONENTS)[1:], FULL)] == [86.4, 88.7, 89.4, 88.8, 90.1]
    assert paper.DEBIAS == {
        "voc12": {
            "bottle": (77.0, 77.6),
            "chair": (77.1, 79.0),
            "diningtable": (72.7, 74.8),
            "person": (87.3, 89.2),
            "pottedplant": (68.8, 72.1),
            "sofa": (73.0, 76.6),
            "tvmonitor": (89.5, 92.0),
        }
    }


def test_without_an_update_the_first_labels_are_the_last(tmp_path):
    assert cell("no update", 0, tmp_path, 0.5).labels.mean_average_precision == 0.125
    assert cell("update", 0, tmp_path, 0.5, labels=0.75).labels.mean_average_precision == 0.75


def test_tables_share_trainings_and_need_no_more_than_they_must():
    recipe = config.load("paper-coco")
    assert list(variants(recipe, ["classes"], has_boxes=True)) == [FULL, WITHOUT_DEBIAS]
    assert variants(recipe, ["components"], has_boxes=True) == COMPONENTS
    assert len(variants(recipe, ["components", "classes", "views"], has_boxes=True)) == 10
    without = variants(recipe, ["views"], has_boxes=False)
    assert list(without) == [FULL, VIEWS["whole"], VIEWS["grid"], VIEWS["random"]]


def test_each_row_leaves_out_what_its_name_does_not_say():
    def parts(overrides):
        recipe = config.load("paper-voc12", overrides)
        return recipe.relabel.epochs, recipe.bias.debias, recipe.consistency.mu

    assert {row: parts(overrides) for row, overrides in COMPONENTS.items()} == {
        "update, debias and consistency": (1, True, 1),
        "no update": (0, False, 0),
        "update": (1, False, 0),
        "update and debias": (1, True, 0),
        "update and consistency": (1, False, 1),
    }


def test_every_row_is_a_valid_recipe_that_heeds_its_knobs():
    from ccd_fast.datasets.object_boxes import ObjectBoxes
    from ccd_fast.labels.view_choice import check

    mine = ["relabel.cache_grid=8", "views.per_class=2", "views.jitter=0.1"]
    rows = variants(config.load("folder", mine), ["components", "classes", "views"], has_boxes=True)
    for overrides in rows.values():
        recipe = config.load("folder", [*mine, *overrides])
        check(recipe.views, recipe.relabel, ObjectBoxes(None, None))
    near = config.load("folder", [*mine, *rows[VIEWS["near-ground-truth"]]])
    assert (near.views.jitter, near.views.per_class) == (0.1, 2)  # the recipe's own go before
    assert len({slug(row) for row in rows}) == len(rows)


def test_a_frozen_backbone_is_in_every_row_but_the_full_method_trained_in_full():
    rows = variants(config.load("folder"), ["components", "views"], has_boxes=True, frozen=True)
    assert [row for row, overrides in rows.items() if not {*FROZEN} <= {*overrides}] == [IN_FULL]
    assert set(rows[WITHOUT_DEBIAS]) == {CONSISTENCY, *COMPONENTS[WITHOUT_DEBIAS], *FROZEN}
    rates = {row: config.load("folder", own).train_over(397).backbone_learning_rate for row, own in rows.items()}
    assert {row: rate for row, rate in rates.items() if rate} == {IN_FULL: BACKBONE_RATE}, "though photographs are few"


def test_a_table_of_few_photographs_says_that_their_backbone_learns_nothing():
    own = config.load("folder", ["student.weights=imagenet.safetensors"])
    assert "Of so few photographs (397)" in notes.of_few(own, 397)[0]
    assert notes.of_few(own, 100_000) == notes.of_few(config.load("paper-voc12"), 397) == []


@pytest.mark.parametrize("frozen", [False, True])
def test_consistency_is_shown_for_a_recipe_that_does_without(frozen):
    rows = variants(config.load("folder", ["consistency.mu=0"]), ["components", "views"], has_boxes=True, frozen=frozen)
    weights = {row: config.load("folder", own).consistency.mu for row, own in rows.items()}
    assert {row for row, mu in weights.items() if not mu} == {"no update", "update", "update and debias"}
    kept = variants(config.load("folder", ["consistency.mu=0.5"]), ["components"], has_boxes=True)
    assert config.load("folder", ["consistency.mu=0.5", *kept[FULL]]).consistency.mu == 0.5


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("bias.debias=false", "must have bias.debias=true"),
        ("relabel.epochs=0", "must have relabel.epochs above 0"),
        ("train.epochs=2", "must have train.epochs above train.warmup_epochs"),
        ("views.choice=whole", "must have views.choice=cam"),
        ("train.backbone_learning_rate=0", "--frozen freezes it"),
    ],
)
def test_a_recipe_that_lacks_a_part_of_the_method_is_refused(override, said):
    with pytest.raises(UserError, match=said):
        variants(config.load("folder", [override]), ["components"], has_boxes=True)


def test_differences_from_the_paper_s_recipe_are_named_but_for_the_seed():
    same = config.load("paper-coco", ["seed=7"])
    assert reproduction.differences("coco", same) == []
    other = config.load("paper-coco", ["train.epochs=2", "student.weights=none"])
    assert reproduction.differences("coco", other) == ["student.weights=none", "train.epochs=2"]
    assert notes.changed(other, same) == {"student.weights": "none", "train.epochs": 2}


@pytest.mark.parametrize("override", ["train.epochs=1", "relabel.epochs=0"])
def test_a_recipe_without_a_label_update_is_said_to_be_one(override):
    assert notes.without_update(config.load("folder")) == []
    assert "No label update takes place" in notes.without_update(config.load("folder", [override]))[0]


def test_a_class_that_no_test_image_has_is_named_and_how_it_counts(photo_folder):
    train, test = (
        load("folder", photo_folder, split, photo_folder / "classes.txt", photo_folder / "labels.csv")
        for split in ("train", "test")
    )
    truth = test.truth.copy()
    truth[:, 1] = False
    lacking = dataclasses.replace(test, truth=truth)
    for name, counted in (("paper-voc12", "left out of the means"), ("paper-voc12-official", "counted as 0")):
        told = " ".join(notes.notes(config.load(name), name, train, lacking, [0]))
        assert f"4 classes, without dog, which no test image has, {counted}." in told
    assert "without" not in notes.notes(config.load("folder"), "folder", train, test, [0])[1]
