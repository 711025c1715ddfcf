"""Over shards with a trained run: its labels and its predictions are those of one process, to the bit."""

import io

import numpy as np
import pytest
from cluster.sharded_world import CLASSES, of_bytes, rows, run_over, write_shards
from rich.console import Console

from ccd_fast.cluster import passes
from ccd_fast.cluster.steps import Verdict
from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.outputs import Labelled, decisions, label_files, labelling, trained
from ccd_fast.recipes import config
from ccd_fast.runs import RunFolder, Stage, Stages
from ccd_fast.student import Reading, predict
from ccd_fast.training import train
from ccd_fast.training.passes import evaluation_conditions

pytestmark = pytest.mark.usefixtures("cache")
HALF = np.full(len(CLASSES), 0.5, dtype=np.float32)
SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "student.runtime=onnxruntime")
SHORT = ("train.epochs=2", "train.warmup_epochs=1", "train.batch_size=16", "relabel.min_tau=0.0")


@pytest.fixture(scope="module")
def run(photo_folder, shards, tiny_clip, cache, tmp_path_factory):
    """A run over the shards; of one photograph it was told that it shows all classes."""
    known = tmp_path_factory.mktemp("known") / "known.csv"
    told = Source("webdataset", shards, photo_folder / "classes.txt").load("train").paths[0]
    known.write_text(f"path,labels,absent\n{told},{'|'.join(CLASSES)},\n")
    knobs = [f"teacher.model='''{tiny_clip}'''", "teacher.batch_size=8", *SMALL, *SHORT]
    out = RunFolder(tmp_path_factory.mktemp("cluster") / "run")
    source = Source("webdataset", shards, photo_folder / "classes.txt", known=known)
    train(source, config.load("folder", knobs), out, Stages(Console(file=io.StringIO()), out.add_metrics))
    return out.path


@pytest.fixture(scope="module")
def shards(photo_folder, tmp_path_factory):
    return write_shards(photo_folder / "images", tmp_path_factory.mktemp("shards"), 3)


def test_a_run_looks_again_over_shards_as_in_one_process(run, shards, tmp_path):
    whole = labelling.by_run(shards, run, Stages(Console(quiet=True)), "cpu", "webdataset")
    assert (whole.table == 1).all(dim=1).sum() == 1  # that of which it was told, and no other
    passes.labels_by_run(run_over(shards, tmp_path), run, config.of_run(run), Verdict(HALF))
    assert rows(tmp_path) == of_bytes(label_files.parquet(whole, labelling.chosen(whole, HALF)))


@pytest.mark.parametrize("knob", ["views.choice=random", "bias.again=true"])
def test_a_run_that_needs_all_photographs_at_once_is_refused(knob, run, shards, tmp_path):
    recipe = config.load(run / "recipe.toml", [knob])
    with pytest.raises(UserError, match="needs all photographs at once"):
        passes.labels_by_run(run_over(shards, tmp_path), run, recipe, Verdict(HALF))


def test_a_student_predicts_over_shards_as_in_one_process(run, shards, tmp_path):
    passes.predictions(run_over(shards, tmp_path, None), run, "best", Verdict(HALF * 0, most=2))
    model = trained.load(run)
    images = run_images(shards)
    backend, _ = evaluation_conditions(model.recipe, "cpu")
    stage = Stage("predict", len(images), lambda _: None)
    student = trained.at_work(model, len(images))
    seen = predict(student, images.files_of_all(), Reading(backend), model.recipe.student.image_size, stage)
    whole = Labelled(images, seen.probabilities, seen.readable, seen.unreadable, "", HALF)
    decided = decisions.likeliest(whole, labelling.chosen(whole, HALF * 0), 2)
    assert rows(tmp_path) == of_bytes(label_files.parquet(whole, decided))


def run_images(shards):
    return labelling.everything("webdataset", shards, CLASSES)
