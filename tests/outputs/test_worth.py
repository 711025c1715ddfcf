"""A student beside its teacher with the views of ``label``, of a run whose first labels saw a grid's cells."""

import dataclasses
import io

import pytest
import torch
from rich.console import Console

from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.evaluation import scores
from ccd_fast.outputs import origin, teacher_looks, trained, worth
from ccd_fast.recipes import config
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.student import Predictions
from ccd_fast.training import train

SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "train.batch_size=8")


@pytest.fixture(scope="module")
def run(photo_folder, tiny_clip, cache, tmp_path_factory):
    out = RunFolder(tmp_path_factory.mktemp("worth") / "run")
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    knobs = [f"teacher.model='''{tiny_clip}'''", "teacher.batch_size=8", *SMALL, "train.epochs=1", "labels.grids=[2]"]
    train(source, config.load("folder", knobs), out, Stages(Console(file=io.StringIO()), out.add_metrics))
    return out.path


def stages():
    return Stages(Console(file=io.StringIO()))


def test_the_teacher_with_the_views_of_label_is_what_the_first_labels_are(run):
    model = trained.load(run)
    images = model.source.load("train")
    seen = Predictions(torch.rand(len(images), 4), torch.ones(len(images), dtype=torch.bool), {})
    asked = worth.Asked(0.5, float("nan"), ensemble=True, views=True)
    found = worth.measure(run, model, images, seen, asked, stages()).metrics
    names = ["student", "zero-shot teacher", worth.DEBIASED, "first pseudo-labels", worth.WITH_VIEWS, worth.ENSEMBLE]
    assert list(found) == names
    assert found[worth.WITH_VIEWS] == found["first pseudo-labels"]
    assert found[worth.DEBIASED] != found["first pseudo-labels"]


def test_a_recipe_without_cells_has_no_views_to_stand_beside(run):
    model = trained.load(run)
    whole = model.recipe.model_copy(update={"labels": model.recipe.labels.model_copy(update={"grids": []})})
    with pytest.raises(UserError, match="looks at whole images only"):
        teacher_looks.labels_with_views(run, whole, model.source.load("test"), stages())


def test_student_and_teacher_together_are_the_mean(run):
    kept = scores.read(run, "zero-shot teacher, test", origin.class_names_of(run))
    labels = teacher_looks.debiased(run, config.of_run(run), kept.table)
    student = torch.rand(labels.shape)
    assert torch.equal(teacher_looks.together(student, labels), (student + labels) / 2)
    assert 0 <= labels.min() <= labels.max() <= 1


def test_it_is_said_which_photographs_were_trained_on(run):
    images = trained.load(run).source.load("train")
    assert "was trained on all of them" in worth.on_which(run, images, own_root=True)
    assert worth.on_which(run, images, own_root=False) == "the student was trained on none of them"
    some = dataclasses.replace(images, paths=(*images.paths[:3], "another.jpg"))
    assert "was trained on 3 of them" in worth.on_which(run, some, own_root=True)
