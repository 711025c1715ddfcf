"""What a run consists of: what stays the same from its start to its end, and what changes."""

from dataclasses import dataclass, field
from typing import Any

import torch

from ccd_fast.datasets import ImageSet
from ccd_fast.errors import UserError
from ccd_fast.labels import PseudoLabels
from ccd_fast.labels.known import Matrix
from ccd_fast.recipes import Recipe
from ccd_fast.runs import Keeper, RunFolder, Stages, Stop
from ccd_fast.runs.tables import Tables
from ccd_fast.student import Student
from ccd_fast.training.passes import Passes
from ccd_fast.training.steps import Trainer

CELLS = -1
"""Stands in :attr:`State.updated` for the look at the cells of a grid, before the first epoch."""


@dataclass
class State:
    """What changes during a run; a checkpoint holds it with the student and the optimiser.

    Attributes:
        labels: the pseudo-labels.
        epoch: the next epoch.
        tau: the activity threshold; None before the first update.
        updated: the epoch of the last label update, or :data:`CELLS`; None before the first.
        has_first_head: whether the student's last layer has the weights that it begins with.
        settled: whether label updates have ended, as the last one changed too little.
        agreement: m_e of each finished epoch (section 6); NaN where it is undefined.
        test_maps: test mAP of each finished epoch, where there is any truth; to compare, never to choose.
        chosen: the epoch of ``checkpoints/best``; None while there is none.
        metrics: by name, a record of :class:`~ccd_fast.evaluation.Metrics` for all that the truth allows to measure.
    """

    labels: PseudoLabels
    epoch: int = 0
    tau: float | None = None
    updated: int | None = None
    has_first_head: bool = False
    settled: bool = False
    agreement: list[float] = field(default_factory=list)
    test_maps: list[float] = field(default_factory=list)
    chosen: int | None = None
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """What a run works with, the same from its start to its end.

    Attributes:
        known: what is known of the labels before training, (N, C) int8; None where the method is told nothing.
    """

    recipe: Recipe
    images: ImageSet
    test: ImageSet | None
    passes: Passes
    student: Student
    trainer: Trainer
    folder: RunFolder
    stages: Stages
    stop: Stop
    known: Matrix | None = None

    @property
    def tables(self) -> Tables:
        """Give what makes the tables of the run."""
        return self.passes.reading.tables

    @property
    def sample(self) -> torch.Tensor:
        """Give the training images that are looked at where all rows of a class are asked for, (S,) int64."""
        return self.tables.sample((len(self.images), len(self.images.class_names)))

    def keeper(self, name: str, in_step: bool = False) -> Keeper:
        """Give what keeps the state of a pass that no other pass of the run shares its name with; see `Keeper`."""
        return Keeper(self.folder, name, 60 * self.recipe.train.save_minutes, self.stop, self.folder.ranks, in_step)

    def set_aside(self, images: ImageSet, unreadable: dict[int, str]) -> None:
        """Put unreadable images into the quarantine.

        Raises:
            UserError: they are so many that the data set is not what was meant.
        """
        self.folder.add_to_quarantine(images.paths, unreadable)
        if not unreadable:
            return
        allowed, where = self.recipe.views.max_bad_frac, f"the list is {self.folder.path / 'quarantine.csv'}"
        of_all = f"of the {len(images)} {'test images' if images.split == 'test' else 'images'}"
        if len(unreadable) == len(images):
            raise UserError(f"{images.root}: none {of_all} can be read; {where}")
        if len(unreadable) / len(images) > allowed:
            raise UserError(
                f"{images.root}: {len(unreadable)} {of_all} cannot be read, more than views.max_bad_frac = "
                f"{allowed:g} allows; {where}; mend them, or allow more with --set views.max_bad_frac=…"
            )
        self.stages.say(f"{len(unreadable)} {of_all} cannot be read: see quarantine.csv")
