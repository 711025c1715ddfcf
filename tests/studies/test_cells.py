"""Trainings over rows and seeds: what is finished is kept, and what is not the same is refused."""

import dataclasses
import io
import shutil

import pytest
from rich.console import Console

from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.studies import cells
from ccd_fast.studies.cells import Plan, as_csv, run_cells

ROWS = {"full": (), "less": ("bias.debias=false",)}
SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "train.batch_size=8")
METRICS = {
    "mean_average_precision": 0.5,
    "average_precision": {"cat": 0.5},
    "without_positives": [],
    **dict.fromkeys(("class_precision", "class_recall", "class_f1"), 0.5),
    **dict.fromkeys(("overall_precision", "overall_recall", "overall_f1"), 0.5),
    "threshold": 0.5,
    "images": 12,
}


@pytest.fixture
def plan(photo_folder, tiny_clip, tmp_path):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    knobs = [f"teacher.model='{tiny_clip}'", "teacher.batch_size=8", "train.epochs=4", *SMALL]
    return Plan(
        source=lambda seed: source,
        recipe=lambda seed, more: config.load("folder", [*knobs, f"seed={seed}", *more]),
        folder=lambda row, seed: tmp_path / "runs" / f"{row}-{seed}",
        stages=Stages(Console(file=io.StringIO())),
    )


@pytest.fixture
def trainings(monkeypatch):
    """Take the place of training: write what a finished run leaves; note row and seed, and stop where told."""
    done = []

    def train(source, recipe, folder, stages, device, resume, command, memory):
        done.append((recipe.bias.debias, recipe.seed))
        if done[-1] == train.stops_at:
            raise KeyboardInterrupt
        folder.create(overwrite=False)
        folder.write_text("recipe.toml", recipe.dumps())
        files = {"root": source.root, "classes": source.classes, "truth": source.truth, "boxes": source.boxes}
        images = source.load("train"), source.load("test")
        description = {name: str(file.resolve()) if file else None for name, file in files.items()}
        description |= {"dataset": source.dataset, "class_names": images[0].class_names}
        folder.write_json("run.json", {**description, "images": {"train": len(images[0]), "test": len(images[1])}})
        measured = {"student, chosen epoch, test": METRICS, "zero-shot teacher, test": METRICS}
        summary = {
            "metrics": measured,
            "stages": {"train": {"images": 24, "crops": 0, "seconds": 1}},
            "chosen_epoch": 3,
        }
        folder.write_json("summary.json", summary)
        return summary

    train.stops_at = None
    monkeypatch.setattr(cells, "train", train)
    return done, train


def test_every_row_is_trained_for_every_seed_and_told_of_as_it_ends(plan, trainings):
    told = []
    done = run_cells(plan, ROWS, [3, 1], lambda so_far: told.append([(c.row, c.seed) for c in so_far]))
    assert trainings[0] == [(True, 3), (False, 3), (True, 1), (False, 1)]
    assert [(cell.row, cell.seed) for cell in done] == [("full", 3), ("less", 3), ("full", 1), ("less", 1)]
    assert [len(cells) for cells in told] == [1, 2, 3, 4, 4]
    assert as_csv(done).splitlines()[0].startswith("row,seed,test_map,cf1,of1")
    assert as_csv(done).splitlines()[4].startswith("less,1,0.5,0.5,0.5,")


def test_an_interrupted_table_goes_on_with_what_is_not_finished(plan, trainings):
    done, train = trainings
    train.stops_at = (True, 1)
    with pytest.raises(KeyboardInterrupt):
        run_cells(plan, ROWS, [0, 1])
    done.clear()
    train.stops_at = None
    told = []
    assert len(run_cells(plan, ROWS, [0, 1], lambda so_far: told.append(len(so_far)))) == 4
    assert done == [(True, 1), (False, 1)]
    assert told == [3, 4, 4]  # the kept ones are in the table from the first
    done.clear()
    assert len(run_cells(plan, ROWS, [0, 1])) == 4
    assert done == []


def other_recipe(plan, tmp_path):
    return dataclasses.replace(plan, recipe=lambda seed, more: plan.recipe(seed, [*more, "relabel.k=3"]))


def other_root(plan, tmp_path):
    shutil.copytree(plan.source(0).root, tmp_path / "copy")
    source = Source("folder", tmp_path / "copy", tmp_path / "copy/classes.txt", tmp_path / "copy/labels.csv")
    return dataclasses.replace(plan, source=lambda seed: source)


def other_boxes(plan, tmp_path):
    path = plan.source(0).load("train").paths[0]
    (tmp_path / "boxes.csv").write_text(f"path,class,x0,y0,x1,y1\n{path},cat,1,2,3,4\n")
    source = dataclasses.replace(plan.source(0), boxes=tmp_path / "boxes.csv")
    return dataclasses.replace(plan, source=lambda seed: source)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_recipe, r"full-0: .* of another recipe \(relabel.k is 2 there and 3 here\); give another --out"),
        (other_root, "full-0: holds a run of another data set"),
        (other_boxes, "full-0: holds a run of another data set"),
    ],
)
def test_figures_of_another_recipe_or_data_set_never_stand_in_a_table(plan, trainings, tmp_path, change, said):
    run_cells(plan, ROWS, [0])
    trainings[0].clear()
    with pytest.raises(UserError, match=said):
        run_cells(change(plan, tmp_path), ROWS, [1, 0])
    assert trainings[0] == []


def test_other_images_under_the_same_names_are_refused(plan, trainings, tmp_path):
    copied = other_root(plan, tmp_path)
    run_cells(copied, ROWS, [0])
    labels = (tmp_path / "copy" / "labels.csv").read_text().splitlines()
    (tmp_path / "copy" / "labels.csv").write_text("\n".join([*labels[:-1], labels[-1].replace("test", "train")]))
    with pytest.raises(UserError, match=r"full-0: holds a run of other classes or images \(24 to train\)"):
        run_cells(copied, ROWS, [0])


def no_truth(plan, tmp_path):
    source = dataclasses.replace(plan.source(0), truth=None)
    return dataclasses.replace(plan, source=lambda seed: source)


def wrong_root(plan, tmp_path):
    source = dataclasses.replace(plan.source(0), root=tmp_path / "gone")
    return dataclasses.replace(plan, source=lambda seed: source)


def foreign_folder(plan, tmp_path):
    (tmp_path / "runs" / "less-0").mkdir(parents=True)
    (tmp_path / "runs" / "less-0" / "thesis.txt").write_text("mine")
    return plan


def bad_last_row(plan, tmp_path):
    def recipe(seed, more):
        return plan.recipe(
            seed, [*more, "views.choice=grid", "views.jitter=0.1"] if "bias.debias=false" in more else more
        )

    return dataclasses.replace(plan, recipe=recipe)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_truth, "needs known labels of test images: give --truth FILE"),
        (wrong_root, "gone: no such folder"),
        (foreign_folder, "less-0: already exists, and is not a run of ccd-fast"),
        (bad_last_row, "views.jitter must be 0"),
        (lambda plan, _: dataclasses.replace(plan, device="cuda"), "torch finds no CUDA GPU"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_training(plan, trainings, tmp_path, change, said):
    with pytest.raises(UserError, match=said):
        run_cells(change(plan, tmp_path), ROWS, [0])
    assert trainings[0] == []


def test_a_summary_that_says_too_little_is_named(plan, trainings, tmp_path):
    run_cells(plan, {"full": ()}, [0])
    RunFolder(tmp_path / "runs" / "full-0").write_json("summary.json", {"results": {}, "stages": {}})
    with pytest.raises(UserError, match="full-0: its summary says nothing of the student, chosen epoch, test; remove"):
        _ = run_cells(plan, {"full": ()}, [0])[0].test


def test_a_training_that_was_stopped_goes_on_from_its_last_epoch(plan, cache, tmp_path, monkeypatch):
    import ccd_fast.training.run as module

    fit = module.fit_epoch

    fitted = []

    def stop_at_three(*arguments):
        if len(fitted) == 3:
            raise KeyboardInterrupt
        fitted.append(fit(*arguments))
        return fitted[-1]

    monkeypatch.setattr(module, "fit_epoch", stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        run_cells(plan, {"full": ()}, [0])
    monkeypatch.setattr(module, "fit_epoch", fit)
    said = io.StringIO()
    done = run_cells(dataclasses.replace(plan, stages=Stages(Console(file=said))), {"full": ()}, [0])
    assert "going on at epoch 3" in said.getvalue()
    assert done[0].summary["epochs"] == 4
    assert 0 < done[0].test.mean_average_precision <= 1
    assert done[0].labels is not None
