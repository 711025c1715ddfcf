"""The teacher of a run, beside its student: its scores of whole images, the labels of them, and both together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ccd_fast import machine
from ccd_fast.datasets import ImageSet
from ccd_fast.errors import UserError
from ccd_fast.labels import debiased_labels
from ccd_fast.labels.table import of_run
from ccd_fast.outputs import labelling
from ccd_fast.outputs.trained import Trained
from ccd_fast.recipes import Recipe
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.training.passes import open_passes


@dataclass(frozen=True)
class Looks:
    """What the teacher says of N images.

    Attributes:
        scores: p, (N, C) float32; zero in unreadable rows.
        readable: (N,) bool.
        unreadable: row to reason.
        seconds: that it took.
    """

    scores: torch.Tensor
    readable: torch.Tensor
    unreadable: dict[int, str]
    seconds: float


def look(recipe: Recipe, images: ImageSet, stages: Stages, device: str = "cpu") -> Looks:
    """Let the teacher of a recipe score whole images (section 1).

    Args:
        recipe: of the run.
        images: N images, with the run's classes.
        stages: shows the progress.
        device: where the teacher runs.

    Raises:
        UserError: the teacher cannot be had.
    """
    stages.on_gpu = machine.check_device(device).type == "cuda"
    passes = open_passes(recipe.for_first_labels(), images, None, device, stages.say)
    with stages.stage("teacher", len(images)) as stage:
        gathered, unreadable = passes.whole_images(images, stage)
    return Looks(gathered.scores, gathered.readable, unreadable, stage.seconds)


def labels_with_views(run: Path, recipe: Recipe, images: ImageSet, stages: Stages, device: str = "cpu") -> torch.Tensor:
    """Give the labels that ``label`` would give with a run's recipe and bias, its views and all, (N, C) float32.

    Raises:
        UserError: the teacher cannot be had, or the recipe has no views but the whole image.
    """
    if not recipe.labels.grids:
        raise UserError(f"--views: the recipe of {run} looks at whole images only (labels.grids = [])")
    passes = open_passes(recipe.for_first_labels(), images, None, device, stages.say)
    labels, _ = labelling.first_labels(passes, images, recipe, stages, _bias(run))
    return labels.table


def debiased(run: Path, recipe: Recipe, scores: torch.Tensor) -> torch.Tensor:
    """Give the labels that the teacher's scores become with the bias of a run, (N, C) float32 (section 2).

    Raises:
        UserError: the run has not got as far as its bias.
    """
    return debiased_labels(scores, _bias(run), recipe.labels.floor)


def _bias(run: Path) -> torch.Tensor:
    return of_run(RunFolder(run)).bias


def together(student: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Give the scores of student and teacher together: the mean of probabilities and debiased labels, (N, C)."""
    return (student + labels) / 2


def images_at(model: Trained, run: Path, root: Path, paths: Sequence[str]) -> ImageSet:
    """Put photographs together, of which nothing is known, with the classes of a run.

    Args:
        model: the run's student.
        run: its folder.
        root: that the paths are relative to.
        paths: N paths.
    """
    prompts = tuple(RunFolder(run).read_json("run.json").get("prompt_names", model.class_names))
    unknown = np.zeros(len(paths), dtype=bool)
    return ImageSet("folder", "test", root, tuple(paths), model.class_names, prompts, None, unknown)
