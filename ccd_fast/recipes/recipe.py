"""The Recipe: all sections of knobs, and what follows from several of them together."""

from typing import Literal

import tomli_w
from pydantic import Field

from ccd_fast.recipes.knobs import (
    FEW_PHOTOGRAPHS,
    BiasKnobs,
    ConsistencyKnobs,
    EvaluateKnobs,
    LabelKnobs,
    Natural,
    RelabelKnobs,
    Section,
    StudentKnobs,
    SystemKnobs,
    TeacherKnobs,
    TrainKnobs,
    ViewKnobs,
)

NEAR_ITS_END, MOST_NEAR_ITS_END = 1 / 3, 1e-3
"""Share of the rate of a head that was drawn, and the most: faster, what the regression gives is lost again
(benchmarks/results/cpu-first-head-*.json)."""


class Recipe(Section):
    """Every knob of a run. Section numbers are those of the method's description in docs/METHOD.md."""

    seed: Natural = Field(description="key of every random draw")
    compat: Literal["none", "official"] = Field(
        description="official: as the published code does it where that differs from the method, to compare; slow"
    )
    teacher: TeacherKnobs
    student: StudentKnobs
    labels: LabelKnobs
    bias: BiasKnobs
    relabel: RelabelKnobs
    views: ViewKnobs
    consistency: ConsistencyKnobs
    train: TrainKnobs
    evaluate: EvaluateKnobs
    system: SystemKnobs

    @property
    def is_ccd(self) -> bool:
        """Tell whether it is of the paper's own method."""
        return self.system.name == "ccd"

    def entropy_limit(self, classes: int) -> float:
        """Give the entropy, in nats, up to which an image with C classes is confident."""
        return self.labels.entropy_limit(classes, self.teacher.temperature)

    def updates_labels(self, epoch: int) -> bool:
        """Tell whether an epoch starts with a label update: ``relabel.epochs`` follow the warm-up (section 4)."""
        warmup, updates = self.train.warmup_epochs, self.relabel.epochs
        return self.is_ccd and epoch >= warmup and (updates == "every" or epoch < warmup + int(updates))

    def is_consistent(self, epoch: int) -> bool:
        """Tell whether the consistency loss applies: after the warm-up, unless mu is 0 (section 5)."""
        return self.is_ccd and epoch >= self.train.warmup_epochs and self.consistency.mu > 0

    def weight_of_the_old(self, epoch: int) -> float:
        """Give lambda for the update at the start of an epoch (section 4).

        A running mean holds the first labels with the weight lambda / (1 - lambda) and each update with the weight 1,
        so that the first update is the paper's and each later one moves the labels less.
        """
        ema = self.relabel.ema
        if self.relabel.average != "running":
            return ema
        before = epoch - self.train.warmup_epochs
        return (ema + (1 - ema) * before) / (1 + (1 - ema) * before)

    def train_over(self, images: int) -> TrainKnobs:
        """Give the knobs of training in a run over so many images, with both rates settled.

        Where that of the head is ``"auto"``, one that begins as a ridge regression learns at :data:`NEAR_ITS_END` of
        the rate of one that was drawn, and at :data:`MOST_NEAR_ITS_END` at most.
        """
        few = images <= FEW_PHOTOGRAPHS and self.student.weights != "none"
        rate = 0.0 if few and self.train.backbone_learning_rate == "auto" else self.train.backbone_rate
        of_head = self.train.head_rate(images)
        if self.train.head_learning_rate == "auto" and self._has_a_ridge(frozen=rate == 0):
            of_head = min(of_head * NEAR_ITS_END, MOST_NEAR_ITS_END)
        return self.train.model_copy(update={"backbone_learning_rate": rate, "head_learning_rate": of_head})

    def begins_with_a_ridge(self, images: int) -> bool:
        """Tell whether the student's last layer begins as a ridge regression, in a run over so many images."""
        return self._has_a_ridge(self.train_over(images).freezes_the_backbone)

    def _has_a_ridge(self, frozen: bool) -> bool:
        return self.student.head == "ridge" or (self.student.head == "auto" and frozen)

    def draws_labels_together(self, images: int) -> bool:
        """Tell whether labels are drawn towards those of neighbours, in a run over so many images."""
        return self.is_ccd and self.labels.neighbours > 0 and self.begins_with_a_ridge(images)

    def keeps_features(self, images: int) -> bool:
        """Tell whether a run keeps what a frozen backbone gave: of so few images there is room for all."""
        return images <= FEW_PHOTOGRAPHS and self.train_over(images).freezes_the_backbone

    def boxes_of_the_training(self, images: int) -> bool:
        """Tell whether label updates look where the training steps' CAMs pointed, without a pass of the student."""
        if self.relabel.student != "auto":
            return self.relabel.student == "training"
        shows_them = self.views.choice == "cam" and self.student.relabel_size == self.student.image_size
        return shows_them and self.train_over(images).freezes_the_backbone

    def for_first_labels(self) -> "Recipe":
        """Give the recipe of passes that update no label: they need no map of the teacher, and no boxes of objects."""
        crops, at_no_box = {"teacher": "crops"}, {"choice": "cam"}
        updates = {"relabel": self.relabel.model_copy(update=crops), "views": self.views.model_copy(update=at_no_box)}
        return self.model_copy(update=updates)

    def looks_of_the_student(self, images: int) -> int:
        """Count the views of a run's label updates: one an image and update, and one each time that tau is set.

        There are none where CAMs come from the training, or the features of all views are kept.
        """
        if self.boxes_of_the_training(images) or self.keeps_features(images):
            return 0
        updates = sum(map(self.updates_labels, range(self.train.epochs)))
        thresholds = updates if self.relabel.tau == "every" else min(updates, 1)
        return images * (updates + thresholds)

    def dumps(self) -> str:
        """Give the recipe as TOML; :func:`ccd_fast.recipes.config.load` reads it back to an equal recipe."""
        return tomli_w.dumps(self.model_dump())
