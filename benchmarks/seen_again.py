"""What a finished run's student says of its training images, beside what the run has kept of its test images."""

import sys
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console

from ccd_fast.datasets import ImageSet
from ccd_fast.evaluation import scores
from ccd_fast.evaluation.scores import Scores
from ccd_fast.labels.table import of_run as labels_of_run
from ccd_fast.outputs import origin, trained
from ccd_fast.report.album import open_again
from ccd_fast.runs import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.student import Reading, predict
from ccd_fast.training import CHOSEN


class Seen(NamedTuple):
    """A run, looked at again.

    Attributes:
        images: N training images.
        readable: (N,) bool.
        probabilities: (N, C) float32, of the student.
        labels: (N, C) float32, the last label table, as it would be if nothing were told and each were alone.
        temperature: of the teacher's softmax.
        test: the student's scores of the test images, with their truth.
    """

    images: ImageSet
    readable: torch.Tensor
    probabilities: torch.Tensor
    labels: torch.Tensor
    temperature: float
    test: Scores


def of(run: Path) -> Seen:
    """Let the student of a run look at its training images."""
    album = open_again(run, origin.class_names_of(run))
    recipe, images = album.model.recipe, album.images
    test = scores.read(run, CHOSEN, images.class_names)
    if test is None:
        sys.exit(f"{run}: the labels of its test images are not known")
    with Stages(Console(stderr=True), lambda _: None).stage("predict", len(images)) as stage:
        student = trained.at_work(album.model, len(images))
        found = predict(student, images.files_of_all(), Reading(album.backend), recipe.student.image_size, stage)
    kept = labels_of_run(RunFolder(run))
    labels = kept.guessed() if kept.alone is None else kept.alone
    return Seen(images, found.readable, found.probabilities, labels, recipe.teacher.temperature, test)
