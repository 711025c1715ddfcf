"""The epoch that a run keeps, and the agreement with the pseudo-labels by which it is chosen."""

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console

from ccd_fast.datasets import Source
from ccd_fast.evaluation.metrics import mean_average_precision
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.training import run as training
from ccd_fast.training.passes import StandardPasses

pytestmark = pytest.mark.usefixtures("cache")
SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "train.batch_size=8")


@pytest.fixture
def run(photo_folder, tiny_clip, tmp_path):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")

    def make(*overrides, **options):
        recipe = config.load("folder", [f"teacher.model='{tiny_clip}'", "teacher.batch_size=8", *SMALL, *overrides])
        folder = RunFolder(tmp_path / "run")
        summary = training.train(source, recipe, folder, Stages(Console(file=io.StringIO()), folder.add_metrics))
        lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
        return summary, [line for line in lines if "agreement" in line], folder

    return make


@pytest.fixture
def epochs(monkeypatch):
    """What each epoch was trained on, what it predicted meanwhile, and the student at its end."""
    seen, fit = [], training.fit_epoch

    def watched(trainer, images, readable, views, loss, stage, beside, sample):
        found = fit(trainer, images, readable, views, loss, stage, beside, sample)
        weights = {name: value.clone() for name, value in trainer.judged.state_dict().items()}
        seen.append((loss._table.clone(), found.predicted, weights))
        return found

    monkeypatch.setattr(training, "fit_epoch", watched)
    return seen


def test_the_agreement_is_of_the_predictions_during_the_epoch_with_labels_of_one(run, epochs):
    _, lines, _ = run("train.epochs=4", "relabel.ema=0.0")
    assert len(epochs) == len(lines) == 4
    for line, (table, predicted, _) in zip(lines, epochs, strict=True):
        expected = mean_average_precision(predicted, table == 1)
        assert line["agreement"] == pytest.approx(expected, nan_ok=True)
        assert np.isnan(expected) or expected != mean_average_precision(predicted, table >= 0.5)


def test_the_first_epoch_that_the_rule_names_is_kept_with_its_weights(run, epochs, monkeypatch):
    agreement = iter([0.2, 0.5, 0.6, 0.8, 0.9, 1.2])
    monkeypatch.setattr(training, "mean_average_precision", lambda *_: next(agreement))
    summary, lines, folder = run("train.epochs=6", "train.choose=label-free", "relabel.epochs=0")
    assert [line["agreement"] for line in lines] == [0.2, 0.5, 0.6, 0.8, 0.9, 1.2]
    assert summary["chosen_epoch"] == 3
    assert summary["choice"].startswith("chosen without labels, the first whose agreement")
    assert summary["metrics"]["student, chosen epoch, test"] == lines[3]["test"]
    best = folder.load_student("best")
    assert all(torch.equal(best[name], value) for name, value in epochs[3][2].items())
    assert not all(torch.equal(best[name], value) for name, value in epochs[5][2].items())


def test_a_class_that_no_label_names_may_count_as_zero_in_the_agreement(run, monkeypatch):
    monkeypatch.setattr(StandardPasses, "absent_ap", 0.0)
    _, lines, _ = run("train.epochs=1", "bias.debias=false", "relabel.epochs=0")
    assert lines[0]["agreement"] == 0  # no label is 1; undefined if such classes were left out
